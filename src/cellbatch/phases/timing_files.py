"""The timings of a task as a file."""

from pathlib import Path

from cellbatch.io.tables import write_table
from cellbatch.reporting.timings import Timings


def write_timings(timings: Timings, path: Path) -> None:
    """Write the rows of a task as CSV."""
    write_table(timings.table(), path, "csv")
