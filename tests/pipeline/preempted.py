"""Tasks killed with SIGKILL at random until the run is done: the same bytes, attempts counted; and the retry rule."""

import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from traces import check

PHASES = ("preprocess_images.py", "infer_tiles.py", "postprocess_labels.py", "measure_cells.py")
RETRIED = {*range(50001, 50007), 75, 104, 137, 143}
RUNS = 6


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


def attempts(results: Path) -> tuple[int, int, float]:
    """Attempts and failed ones of the last run, by the trace, and the lost time that cost.csv tells."""
    info = results / "pipeline_info"
    with (info / "execution_trace.txt").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["status"] != "CACHED"]
    with (info / "cost.csv").open(encoding="utf-8") as table:
        lost = next(float(row["measured"]) for row in csv.DictReader(table) if row["quantity"] == "lost time")
    return len(rows), sum(row["status"] == "FAILED" for row in rows), lost


def check_rule() -> None:
    """Every status that a preempted machine gives is tried again, a crash of ours is not."""
    for config in ("conf/base.config", "conf/gcb.config"):
        command = ["nextflow", "run", "tests/pipeline/retry_rule.nf", "-ansi-log", "false", "--rule_from", config]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = dict(line.split() for line in text.splitlines() if line and line[0].isdigit())
        expected = {code: "retry" if int(code) in RETRIED else "finish" for code in found}
        check(f"retry rule of {config}", len(found) > 15 and found == expected, len(found))


def main() -> None:
    """Run undisturbed, then with kills until it is done."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(10**6)
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


if __name__ == "__main__":
    main()
