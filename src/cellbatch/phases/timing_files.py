"""The timings of a task as a file."""

import csv
import os
from pathlib import Path

from cellbatch.io.atomic import atomic_path
from cellbatch.reporting.timings import COLUMNS, Timings

# left in the task's folder by conf/base.config when a task is repeated: number of the attempt, exit code before it
ATTEMPT = ".attempt"


def write_timings(timings: Timings, path: Path) -> None:
    """Write the rows of a task as CSV, with a row ``attempt_<n>_after_exit_<code>`` if it is not the first attempt.

    Exit code 137 means that the one before was killed for memory: the projection was wrong.
    """
    number, code = read_attempt()
    if number > 1:
        timings.add("", f"attempt_{number}_after_exit_{code}", 0.0)
    # every task writes this file; those that write no other table do without the libraries of tables
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(timings.rows())


def read_attempt() -> tuple[int, int]:
    """Which attempt this task is, from 1, and the exit code of the one before (0 for the first)."""
    for folder in (Path(), Path(os.environ.get("NXF_TASK_WORKDIR") or ".")):
        if (folder / ATTEMPT).is_file():
            number, code = (folder / ATTEMPT).read_text(encoding="ascii").split()
            return int(number), int(code)
    return 1, 0
