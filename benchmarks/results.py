"""What a benchmark measured, as a CSV from which ``benchmarks/write_page.py`` writes docs/benchmarks.md.

A benchmark with ``--csv PATH`` appends a row for everything that it measures once: first its own columns, whose names
end in their unit (``_s``, ``_mb``, ``_ns_px``), then those of `CONTEXT`. Medians over repeats are taken by who reads.
A file holds runs of one machine and one state of the code that may be compared; delete it to start again.
"""

import argparse
import csv
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cellbatch.io.host_memory import host_memory_mb
from cellbatch.phases.machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numpy", "onnxruntime", "cellbatch")
CONTEXT = (
    *("repeat", "date", "load_start", "cpu", "cpu_threads", "memory_gb", "python"),
    *(*PACKAGES, "commit", "nextflow", "command"),
)


def add_csv_option(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option ``--csv``."""
    parser.add_argument("--csv", type=Path, help="append what is measured to this table (benchmarks/results/*.csv)")


class Results:
    """The rows of one run of a benchmark.

    Parameters
    ----------
    path : the table; None = nothing is written
    columns : the benchmark's own
    with_nextflow : ask for the version of Nextflow
    """

    def __init__(self, path: Path | None, columns: Sequence[str], with_nextflow: bool = False) -> None:
        self._path, self._columns = path, (*columns, *CONTEXT)
        if path is None:
            return
        self._context = describe_run(with_nextflow)
        if path.exists():
            with path.open(encoding="utf-8", newline="") as table:
                found = tuple(next(csv.reader(table), ()))
            if found != self._columns:
                raise SystemExit(f"{path} has the columns {found}; {self._columns} were expected: move it away")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(dict(zip(self._columns, self._columns, strict=True)))

    def add(self, repeat: int = 1, **values: object) -> None:
        """Append a row; columns that are not given stay blank, unknown ones are a ValueError.

        Parameters
        ----------
        repeat : number of the run, from 1
        values : by column; numbers are kept to six digits
        """
        if self._path is not None:
            shown = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values.items()}
            self._write({**shown, "repeat": repeat, **self._context})

    def _write(self, row: dict[str, object]) -> None:
        assert self._path is not None
        with self._path.open("a", encoding="utf-8", newline="") as table:
            csv.DictWriter(table, self._columns, lineterminator="\n").writerow(row)


def describe_run(with_nextflow: bool) -> dict[str, object]:
    """Machine, versions, date, load and command of this process."""
    nextflow = commit = ""
    if with_nextflow:
        nextflow = _ask("nextflow", "-v").removeprefix("nextflow version ")
    if shutil.which("git"):
        commit = _ask("git", "-C", str(ROOT), "rev-parse", "--short=7", "HEAD")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "load_start": round(os.getloadavg()[0], 1),
        "cpu": describe_machine("cpu").replace("(R)", ""),
        "cpu_threads": len(os.sched_getaffinity(0)),
        "memory_gb": round(host_memory_mb() * 2**20 / 1e9, 1),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "commit": commit,
        "nextflow": nextflow,
        "command": shown_command(sys.argv),
    }


def shown_command(arguments: Sequence[str]) -> str:
    """Write a command line down for another machine.

    Parameters
    ----------
    arguments : as in ``sys.argv``

    Returns
    -------
    str
        Paths outside the project are the name of their option in capitals; ``--csv`` is left out.

    Examples
    --------
    >>> shown_command(["/a/run.py", "--outdir", "/b", "--side", "8", "--csv=c.csv", "--reference", "../r/bin/python"])
    'python benchmarks/run.py --outdir OUTDIR --side 8 --reference REFERENCE/bin/python'
    """
    words, option = ["python", f"benchmarks/{Path(arguments[0]).name}"], ""
    for word in " ".join(arguments[1:]).replace("=", " ").split():
        if word.startswith("--"):
            option = word[2:]
        elif option == "outdir" or Path(word).is_absolute() or word.startswith(("..", "~")):
            tail = "/bin/python" if word.endswith("/bin/python") else ""
            word = option.upper() + tail if option else Path(word).name
        if option != "csv":
            words.append(word)
    return " ".join(words)


def _ask(*command: str) -> str:
    """First line that a command prints; empty where it fails."""
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().splitlines()
    return answer[0] if answer else ""
