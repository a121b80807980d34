"""Runs of the pipeline in the current folder, and what their traces say was run again."""

import csv
import subprocess
import time
from pathlib import Path


def run_pipeline(*arguments: str) -> tuple[dict[str, list[str]], float]:
    """Run with ``-resume``; returns the tags of the tasks that were not cached, by process, and the seconds it took."""
    start = time.perf_counter()
    command = ["nextflow", "run", "main.nf", "-resume", "-ansi-log", "false", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}\n{result.stdout}\n{result.stderr}")
    repeated: dict[str, list[str]] = {}
    with Path("results/pipeline_info/execution_trace.txt").open(encoding="utf-8") as trace:
        for row in csv.DictReader(trace, delimiter="\t"):
            if row["status"] != "CACHED":
                repeated.setdefault(row["process"].split(":")[-1], []).append(row["tag"])
    return repeated, seconds


def check(what: str, is_right: bool, found: object) -> None:
    """Print one line per check, and stop at the first that fails."""
    print(f"{'ok' if is_right else 'WRONG'}: {what}: {found}", flush=True)
    if not is_right:
        raise SystemExit(1)
