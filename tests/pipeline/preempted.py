"""Killed with SIGKILL at random moments: tasks, then also worker processes and Nextflow itself, until the run is done.

python tests/pipeline/preempted.py SEED              tasks only, attempts counted; and the retry rule
python tests/pipeline/preempted.py SEED MOMENTS      that many kills of all three kinds, each followed by -resume

Results must have the bytes of an undisturbed run, and what a living Nextflow saw finished must not be repeated.
"""

import contextlib
import csv
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from traces import check

FUSED = "segment_batch.py"
PHASES = ("preprocess_images.py", "infer_tiles.py", "postprocess_labels.py", "measure_cells.py", FUSED)
RETRIED = {*range(50001, 50007), 75, 104, 137, 143}
RUNS = 6
KINDS = ("task", "worker", "nextflow")
# kills between a start and the next; fewer than the attempts that a task has
PER_LEG = 3
LONGEST_S = 30


def hashes(results: Path) -> dict[str, str]:
    """Digest of every label image and table."""
    files = [path for folder in ("labels", "cells") for path in sorted((results / folder).iterdir())]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def find_tasks(work: Path) -> list[int]:
    """Processes of phases whose folder lies below the work folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (
                (entry / "cmdline").read_bytes().decode(errors="replace").split("\0") if entry.name.isdigit() else []
            )
            if any(word.endswith(PHASES) for word in words) and Path(os.readlink(entry / "cwd")).is_relative_to(work):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def find_workers(work: Path) -> list[int]:
    """Worker processes of tasks: children of a phase's process, or of the server that forks them."""
    tasks = set(find_tasks(work))
    parents = {}
    for entry in Path("/proc").iterdir():
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
    servers = {child for child, parent in parents.items() if parent in tasks}
    return [child for child, parent in parents.items() if parent in servers and child not in tasks]


def find_engine(process: subprocess.Popen[bytes]) -> list[int]:
    """Nextflow's own process; its launcher becomes it."""
    return [process.pid] if process.poll() is None else []


def shoot(leg: int, moments: int, chance: random.Random) -> tuple[int, dict[str, int], tuple[float, float]]:
    """Resume a run and kill at random until Nextflow is hit; returns exit code, kills by kind, begin and end."""
    work = Path("shot_work").resolve()
    command = ["nextflow", "run", "main.nf", "--input", "many/samplesheet.csv", "-ansi-log", "false"]
    command += ["-work-dir", str(work), "--outdir", "shot", *(["-resume"] if leg else [])]
    began, killed = time.time(), dict.fromkeys(KINDS, 0)
    with Path("shot.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        find = {"task": find_tasks, "worker": find_workers, "nextflow": lambda _: find_engine(process)}
        while process.poll() is None:
            if sum(killed.values()) >= min(moments, PER_LEG):
                process.wait()
                break
            kind = chance.choice(KINDS)
            # most of a run is over before its first task begins, so only Nextflow is hit by the clock alone
            wait = chance.uniform(0, LONGEST_S if kind == "nextflow" else 1)
            if wait_for(process, lambda kind=kind: find[kind](work)) and not sleep(process, wait):
                found = find[kind](work)
                if found:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(chance.choice(found), signal.SIGKILL)
                        killed[kind] += 1
    return process.returncode, killed, (began, time.time())


def wait_for(process: subprocess.Popen[bytes], find: Callable[[], list[int]]) -> bool:
    """Wait until there is something to kill, for some seconds at most."""
    patience = time.time() + LONGEST_S
    while process.poll() is None and time.time() < patience:
        if find():
            return True
        time.sleep(0.05)
    return False


def sleep(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Sleep, or less where the process ends before; whether it did."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False


def find_repeated(work: Path, legs: list[tuple[float, float]]) -> tuple[list[str], list[str]]:
    """Tasks that ran again though a Nextflow that started them lived on for 2 s after they finished; and those of
    them that it could not find again.

    Nextflow names a task's folder by its hash and the number of the try, counted within a run for a retry and over all
    runs for a resume: a retry in a run that found leftovers of an earlier one has a name that no later run looks for.
    """
    seen: dict[str, list[tuple[float, float, bool]]] = {}
    for folder in (code.parent for code in work.glob("*/*/.exitcode")):
        is_done = (folder / ".exitcode").read_text() == "0"
        begun, ended = ((folder / name).stat().st_mtime for name in (".command.begin", ".exitcode"))
        # 0 for what failed: it finished before nothing
        run = (begun, ended if is_done else 0.0, (folder / ".attempt").exists())
        seen.setdefault((folder / ".command.sh").read_text(), []).append(run)
    repeated, lost = [], []
    for script, runs in seen.items():
        for begun, ended, is_retry in runs:
            leg = next((began for began, over in legs if began < begun and 0 < ended < over - 2), None)
            if leg is not None and any(other > ended for other, _, _ in runs):
                has_leftovers = any(other < leg for other, _, _ in runs)
                line = next(line for line in script.splitlines() if ".py" in line)
                (lost if is_retry and has_leftovers else repeated).append(line.split()[0])
    return repeated, lost


def shoot_at(moments: int, seed: int) -> None:
    """Kill at so many moments, resume after each, and compare with an undisturbed run."""
    subprocess.run([sys.executable, "tests/pipeline/make_images.py", "many"], check=True)
    command = ["nextflow", "run", "main.nf", "--input", "many/samplesheet.csv", "-ansi-log", "false"]
    with Path("calm.log").open("w", encoding="utf-8") as log:
        done = subprocess.run([*command, "-work-dir", "calm_work", "--outdir", "calm"], stdout=log, stderr=log)
    check("an undisturbed run", done.returncode == 0, done.returncode)
    chance, total, legs, rounds = random.Random(seed), dict.fromkeys(KINDS, 0), [], 0
    code, leg = 1, 0
    while code != 0 or sum(total.values()) < moments:
        if code == 0:  # done before all moments: once more from the beginning
            check("the same bytes", hashes(Path("shot")) == hashes(Path("calm")), len(hashes(Path("calm"))))
            shutil.rmtree("shot_work")
            shutil.rmtree("shot")
            legs, leg, rounds = [], 0, rounds + 1
        code, killed, span = shoot(leg, moments - sum(total.values()), chance)
        legs.append(span)
        leg += 1
        total = {kind: count + killed[kind] for kind, count in total.items()}
        repeated, lost = find_repeated(Path("shot_work"), legs)
        check(
            f"nothing finished is repeated, after {sum(total.values())} kills", not repeated, f"but for retries {lost}"
        )
    check("the same bytes", hashes(Path("shot")) == hashes(Path("calm")), len(hashes(Path("calm"))))
    check("kills", sum(total.values()) >= moments, f"{total}, in {rounds + 1} rounds, seed {seed}")


def run(name: str, kills: int, seed: int, *, resume: bool = False) -> tuple[int, int]:
    """Run with up to ``kills`` random kills; returns the exit code and how many tasks were killed."""
    work = Path(f"{name}_work").resolve()
    command = ["nextflow", "run", "main.nf", "-profile", "test", "-ansi-log", "false"] + ["-resume"] * resume
    log = Path(f"{name}.log").open("a", encoding="utf-8")
    process = subprocess.Popen([*command, "-work-dir", str(work), "--outdir", name], stdout=log, stderr=log)
    chance, killed = random.Random(seed), 0

    def kill() -> None:
        nonlocal killed
        while process.poll() is None and killed < kills:
            tasks = find_tasks(work)
            if tasks and chance.random() < 0.5:
                os.kill(chance.choice(tasks), signal.SIGKILL)
                killed += 1
                time.sleep(chance.uniform(0.5, 4))
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    code = process.wait()
    thread.join()
    log.close()
    return code, killed


def kill_fused() -> None:
    """Kill a fused run together with its task; resumed it must give the bytes of the split one."""
    work = Path("fused_work").resolve()
    command = ["nextflow", "run", "main.nf", "-profile", "test", "--phases", "fused", "-ansi-log", "false"]
    command += ["-work-dir", str(work), "--outdir", "fused"]
    with Path("fused.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None and not find_tasks(work):
            time.sleep(0.05)
        # long enough that the network is at work, too short for the end
        time.sleep(1)
        for victim in [*find_engine(process), *find_tasks(work)]:
            os.kill(victim, signal.SIGKILL)
        code = process.wait()
        results = [path for path in Path("fused").glob("labels/*")]
        check("a fused run is killed", code != 0 and not results, f"{code}, {len(results)} results")
        code = subprocess.run([*command, "-resume"], stdout=log, stderr=log).returncode
    with Path("fused/pipeline_info/execution_trace.txt").open(encoding="utf-8") as table:
        cached = {row["process"] for row in csv.DictReader(table, delimiter="\t") if row["status"] == "CACHED"}
    check("the resumed run repeats no plan and no model", {"PLAN_BATCHES", "PREPARE_MODEL"} <= cached, sorted(cached))
    same = hashes(Path("fused")) == hashes(Path("undisturbed"))
    check("a fused run killed and resumed has the same bytes", code == 0 and same, len(hashes(Path("fused"))))


def attempts(results: Path) -> tuple[int, int, float]:
    """Attempts and failed ones of the last run, by the trace, and the lost time that cost.csv tells."""
    info = results / "pipeline_info"
    with (info / "execution_trace.txt").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["status"] != "CACHED"]
    with (info / "cost.csv").open(encoding="utf-8") as table:
        lost = next(float(row["measured"]) for row in csv.DictReader(table) if row["quantity"] == "lost time")
    return len(rows), sum(row["status"] == "FAILED" for row in rows), lost


def check_rule() -> None:
    """A preempted machine is tried again, a crash of ours is not; more memory is asked for only after a lack of it."""
    for config in ("conf/base.config", "conf/gcb.config"):
        command = ["nextflow", "run", "tests/pipeline/retry_rule.nf", "-ansi-log", "false", "--rule_from", config]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = dict(line.split() for line in text.splitlines() if line and line[0].isdigit())
        expected = {code: "retry" if int(code) in RETRIED else "finish" for code in found}
        check(f"retry rule of {config}", len(found) > 15 and found == expected, len(found))
    asked: dict[str, list[str]] = {}
    for place, size, machine in (line.split()[1:] for line in text.splitlines() if line.startswith("asks ")):
        asked.setdefault(place, []).append(f"{size} {machine}")
    # more after each death for memory, and not less after a preemption that follows
    here = [f"{size} null" for size in (200, 300, 400, 100, 200, 220, 100)]
    there = ["220 b", "330 c", "330 c", "110 a", "220 b", "220 b", "110 a"]
    check("memory of each attempt", asked == {"here": here, "there": there}, asked)
    check("memory after a death and a preemption", "tried 3 220" in text.splitlines(), text.count("tried"))


def main() -> None:
    """Run undisturbed, then with kills until it is done."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(10**6)
    if len(sys.argv) > 2:
        shoot_at(int(sys.argv[2]), seed)
        return
    check_rule()
    code, _ = run("undisturbed", 0, seed)
    check("an undisturbed run", code == 0, code)
    killed = failed = 0
    lost = 0.0
    for turn in range(RUNS):
        code, now = run("disturbed", 3, seed + turn, resume=turn > 0)
        killed += now
        _, failures, lost_now = attempts(Path("disturbed"))
        failed, lost = failed + failures, lost + lost_now
        if code == 0 and killed:
            break
    check("killed tasks", killed > 0 and code == 0, f"{killed} in {turn + 1} runs, seed {seed}")
    check("failed attempts in the traces", failed == killed, failed)
    check("lost time in cost.csv", lost > 0, f"{lost:.1f} s")
    check("the same bytes", hashes(Path("disturbed")) == hashes(Path("undisturbed")), len(hashes(Path("undisturbed"))))
    kill_fused()


if __name__ == "__main__":
    main()
