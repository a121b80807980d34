"""Fuzz every reader of inputs: mutants of sound files must give a correct result or an error meant for the user.

python -m tests.fuzz --inputs 100000 --processes 2 --outdir fuzz            all kinds
python -m tests.fuzz --kind tiff --only 4711                                one mutant again, with its traceback

Each mutant follows from (seed, kind, number). Workers may grow by 1 GB and work for 10 s on a mutant, however
long they wait for the processor. What kills a worker, and every error that is not the project's own, is a finding: the
mutant is kept in the output folder.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import KINDS, Seed, seeds_of
from tests.fuzz.targets import check, clear

GROWTH_BYTES = 2**30
# A hang is counted in time of work: a worker of low priority waits for others. By the clock it gets far longer, for
# what waits without working.
SECONDS = 10
STUCK_SECONDS = 1200
PER_WORKER = 1000


def make_mutant(kind: str, number: int, seed: int, seeds: list[Seed]) -> Seed:
    """Name and bytes of one mutant."""
    rng = random.Random(f"{seed} {kind} {number}")
    name, data = rng.choice(seeds)
    return name, mutate(data, kind, rng)


def run_range(kind: str, numbers: range, options: argparse.Namespace, counts: Path) -> None:
    """Work through mutants in this process; ``counts`` always names the one at hand."""
    seeds = seeds_of(kind, options.seeds)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    tempfile.tempdir = str(folder)
    _limit()
    outcomes = {"result": 0, "refused": 0, "findings": 0}
    try:
        for number in numbers:
            counts.write_text(json.dumps({"number": number, **outcomes}))
            name, data = make_mutant(kind, number, options.seed, seeds)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(STUCK_SECONDS)
            try:
                outcomes[check(kind, name, data, folder)] += 1
            except Exception:
                outcomes["findings"] += 1
                keep(options.outdir, kind, number, (name, data), traceback.format_exc())
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            clear(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    counts.write_text(json.dumps({"number": numbers.stop, **outcomes}))


def _limit() -> None:
    """Let this process grow by one gigabyte, write no core files, and end at the alarm."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for alarm in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(alarm, signal.SIG_DFL)


def keep(outdir: Path, kind: str, number: int, mutant: Seed, text: str) -> None:
    """Store a finding: the mutant and what it did."""
    outdir.mkdir(parents=True, exist_ok=True)
    (outdir / f"{kind}-{number}-{mutant[0]}").write_bytes(mutant[1])
    (outdir / f"{kind}-{number}.txt").write_text(text)


def supervise(kind: str, numbers: range, options: argparse.Namespace) -> dict[str, int]:
    """Run a range in a worker; when it dies, note the mutant at hand and go on behind it."""
    total = {"result": 0, "refused": 0, "findings": 0}
    while numbers:
        descriptor, name = tempfile.mkstemp()
        os.close(descriptor)
        counts = Path(name)
        command = [sys.executable, "-m", "tests.fuzz", "--kind", kind, "--worker", str(counts)]
        command += ["--first", str(numbers.start), "--inputs", str(len(numbers)), "--seed", str(options.seed)]
        command += ["--outdir", str(options.outdir), *(["--seeds", str(options.seeds)] if options.seeds else [])]
        ended = subprocess.run(command, capture_output=True, text=True)
        state = json.loads(counts.read_text() or "{}") or {"number": numbers.start}
        counts.unlink()
        for key in total:
            total[key] += state.get(key, 0)
        if ended.returncode:
            total["findings"] += 1
            number = state["number"]
            mutant = make_mutant(kind, number, options.seed, seeds_of(kind, options.seeds))
            text = f"worker ended with {ended.returncode}\n{ended.stderr[-2000:]}"
            keep(options.outdir, kind, number, mutant, text)
            numbers = range(number + 1, numbers.stop)
        else:
            break
    return total


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=9000, help="mutants in all")
    parser.add_argument("--kind", choices=sorted(KINDS))
    parser.add_argument("--only", type=int, help="number of one mutant to run here")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=Path, help="folder with real TIFF files")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--outdir", type=Path, default=Path("fuzz"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        run_range(options.kind, range(options.first, options.first + options.inputs), options, options.worker)
        return 0
    if options.only is not None:
        name, data = make_mutant(options.kind, options.only, options.seed, seeds_of(options.kind, options.seeds))
        print(name, len(data), check(options.kind, name, data, Path(tempfile.mkdtemp())))
        return 0
    return fuzz(options)


def fuzz(options: argparse.Namespace) -> int:
    """Spread the mutants over kinds and workers; TIFF gets half of them."""
    shares = {kind: 0.5 if kind == "tiff" else 0.5 / (len(KINDS) - 1) for kind in KINDS}
    wanted = {options.kind: 1.0} if options.kind else shares
    jobs = []
    for kind, share in wanted.items():
        count = round(options.inputs * share)
        starts = range(options.first, options.first + count, PER_WORKER)
        jobs += [(kind, range(start, min(start + PER_WORKER, options.first + count))) for start in starts]
    random.Random(0).shuffle(jobs)
    total: dict[str, dict[str, int]] = {kind: {} for kind in wanted}
    started = time.monotonic()
    with ThreadPoolExecutor(options.processes) as pool:
        for (kind, numbers), outcome in zip(jobs, pool.map(lambda job: supervise(*job, options), jobs), strict=True):
            for key, value in {"inputs": len(numbers), **outcome}.items():
                total[kind][key] = total[kind].get(key, 0) + value
            done = sum(counts.get("inputs", 0) for counts in total.values())
            found = sum(counts.get("findings", 0) for counts in total.values())
            print(f"{time.monotonic() - started:7.0f} s  {done} inputs  {found} findings", flush=True)
    for kind, counts in total.items():
        print(kind, json.dumps(counts))
    return int(any(counts.get("findings") for counts in total.values()))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
