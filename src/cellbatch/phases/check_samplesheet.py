"""The whole samplesheet before anything heavy starts: every fault in one message, or every sound sample."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from cellbatch.errors import InputError
from cellbatch.io.prefetch import read_ahead
from cellbatch.io.samplesheet import PATH_COLUMNS, Fault, Row, SheetError, parse_samplesheet
from cellbatch.phases.check_samples import CheckedRow, StagedFile, check_row, is_read_in_threads
from cellbatch.phases.samples import process_pool
from cellbatch.phases.settle_samples import Fallbacks
from cellbatch.phases.sources import ROWS_AHEAD

logger = logging.getLogger(__name__)

NAMED_IN_A_REMARK = 5
# fewer headers are read before other processes have started
HEADERS_WORTH_A_PROCESS = 2000
PARTS_PER_PROCESS = 4
# images that an archive is taken to hold
ARCHIVED_IMAGES = 100
# a row, its files as the launch saw them, and its faults that are known already
Told = tuple[Row, Sequence[StagedFile], Sequence[Fault]]


@dataclass(frozen=True)
class LeftOut:
    """A sample that cannot be segmented, and why."""

    sample: str
    row: int
    reason: str


@dataclass(frozen=True)
class CheckedSheet:
    """What a samplesheet comes to.

    Attributes
    ----------
    rows : with their sound samples
    files : per row, its path cells as the launch saw them
    left_out : samples with faults; none unless the run keeps going
    remarks : what is odd but no fault, each with the samples that it holds for
    """

    rows: list[CheckedRow]
    files: list[list[StagedFile]]
    left_out: list[LeftOut] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check_samplesheet(
    samplesheet: Path,
    staged: Sequence[Mapping[str, Any]],
    images: Path,
    fallbacks: Fallbacks,
    *,
    keep_going: bool = False,
    processes: int = 1,
) -> CheckedSheet:
    """Read the samplesheet and all headers.

    Parameters
    ----------
    samplesheet : CSV
    staged : per data row, its path cells as the launch saw them (fields of ``StagedFile``)
    images : folder with the staged inputs
    fallbacks : stand in for empty cells
    keep_going : leave samples with faults out instead of refusing the sheet
    processes : that may look at the rows of a long sheet

    Raises
    ------
    InputError
        with all faults of the sheet and of the images' headers; under ``keep_going`` only if no sample is left or the
        header of the sheet is at fault
    """
    sheet = parse_samplesheet(samplesheet)
    if len(sheet.rows) != len(staged):
        if sheet.faults:
            raise SheetError(samplesheet, sheet.faults)
        raise InputError(
            f"the samplesheet has {len(sheet.rows)} rows, but {len(staged)} were staged; "
            "most likely a cell holds a line break: remove it"
        )
    files, disputes = _match_staged(sheet.rows, staged)
    known: dict[int, list[Fault]] = {}
    for fault in [*sheet.faults, *disputes]:
        known.setdefault(fault.row, []).append(fault)
    told = [(row, its_files, known.get(row.number, [])) for row, its_files in zip(sheet.rows, files, strict=True)]
    rows = list(_check_rows(told, partial(_check_part, images=images, fallbacks=fallbacks), processes))
    _refuse_repeated_names(rows)
    faults = [fault for row in rows for fault in row.faults]
    if faults and not (keep_going and any(row.samples for row in rows)):
        raise SheetError(samplesheet, faults)
    remarks = [*sheet.remarks, *_grouped(remark for row in rows for remark in row.remarks)]
    return CheckedSheet(rows, files, list(_left_out(rows)), remarks)


def rerun_cells(row: CheckedRow, sample: str) -> dict[str, str]:
    """Cells of a samplesheet's row that segments one sample of a row again.

    Paths are written in full, so that the sheet may lie anywhere. An image of a folder becomes a row of its own; one of
    an archive stands for its whole archive.

    Parameters
    ----------
    row : as it was checked
    sample : name of one of its samples, or of the row
    """
    cells = dict(row.row.cells)
    for file in row.files:
        cells[file.column] = file.uri or file.path
    member = row.members.get(sample, "")
    if member and row.files[0].entries:
        cells["sample"] = sample
        cells["image"] = str(PurePosixPath(cells["image"]) / member)
    return cells


def _check_rows(
    told: Sequence[Told], check: Callable[[Sequence[Told]], list[CheckedRow]], processes: int
) -> Iterator[CheckedRow]:
    """Look at rows in order, those of a long sheet on several processes."""
    headers = sum(_headers(file) for _, files, _ in told for file in files)
    if processes < 2 or len(told) < processes or headers < HEADERS_WORTH_A_PROCESS:
        yield from check(told)
        return
    size = math.ceil(len(told) / (PARTS_PER_PROCESS * processes))
    done = 0
    try:
        with process_pool(processes) as pool:
            for part in pool.map(check, [told[i : i + size] for i in range(0, len(told), size)]):
                yield from part
                done += len(part)
    except BrokenProcessPool:
        logger.warning("a process that looked at headers died, most likely for lack of memory; one goes on alone")
        yield from check(told[done:])


def _check_part(told: Sequence[Told], images: Path, fallbacks: Fallbacks) -> list[CheckedRow]:
    """Look at some rows, at several at once where their formats allow it."""

    def check(one: Told) -> CheckedRow:
        row, files, known = one
        return check_row(row, files, images, fallbacks, known)

    in_threads = all(is_read_in_threads(file) for _, files, _ in told for file in files)
    return list(read_ahead(told, check, ROWS_AHEAD) if in_threads else map(check, told))


def _headers(file: StagedFile) -> int:
    """How many images a file stands for, roughly: what an archive holds is not known before it is opened."""
    return len(file.entries) or (ARCHIVED_IMAGES if file.path.lower().endswith(".zip") else 1)


def _match_staged(
    rows: Sequence[Row], staged: Sequence[Mapping[str, Any]]
) -> tuple[list[list[StagedFile]], list[Fault]]:
    """Give the launch's view of each row, and the rows that its parser and this one read in two ways."""
    files, faults = [], []
    for row, seen in zip(rows, staged, strict=True):
        its_files = [
            StagedFile(**{**file, "entries": tuple(tuple(entry) for entry in file.get("entries") or ())})
            for file in seen["files"]
        ]
        named = {column: getattr(row, column) for column in PATH_COLUMNS if getattr(row, column)}
        paths = {file.column: file.path for file in its_files}
        for column in PATH_COLUMNS:
            if named.get(column) != paths.get(column):
                text = f"{named.get(column, '')!r} was staged as {paths.get(column, '')!r}"
                faults.append(Fault(row.number, column, f"{text}; quote the cell in the CSV way, without line breaks"))
        files.append(its_files)
    return files, faults


def _refuse_repeated_names(rows: Sequence[CheckedRow]) -> None:
    """Add faults for names that collide once folders are unpacked, and take their samples out."""
    first: dict[str, int] = {}
    for row in rows:
        kept, names = [], set()
        for sample in row.samples:
            other = first.setdefault(sample.sample.lower(), row.row.number)
            if other != row.row.number:
                text = f"{sample.sample!r} is also the name of a sample in row {other}; rename one"
            elif sample.sample.lower() in names:
                text = f"two files of the folder become the sample {sample.sample!r}; rename one"
            else:
                kept.append(sample)
                names.add(sample.sample.lower())
                continue
            if not any(fault.column == "sample" and not fault.sample for fault in row.faults):
                row.faults.append(Fault(row.row.number, "sample", text, sample.sample))
        row.samples = kept


def _left_out(rows: Sequence[CheckedRow]) -> Iterator[LeftOut]:
    """Give samples with faults, each with all its reasons."""
    for row in rows:
        reasons: dict[str, list[str]] = {}
        for fault in row.faults:
            reasons.setdefault(fault.sample or row.row.sample, []).append(
                f"column {fault.column}: {fault.text}" if fault.column else fault.text
            )
        for sample, texts in reasons.items():
            yield LeftOut(sample, row.row.number, "; ".join(texts))


def _grouped(remarks: Iterable[tuple[str, str]]) -> list[str]:
    """One line per remark, with its samples."""
    samples: dict[str, list[str]] = {}
    for sample, text in remarks:
        samples.setdefault(text, []).append(sample)
    return [f"{_some(names)}: {text}" for text, names in samples.items()]


def _some(names: Sequence[str]) -> str:
    """Name a few of many."""
    more = f" and {len(names) - NAMED_IN_A_REMARK} more" if len(names) > NAMED_IN_A_REMARK else ""
    return ", ".join(names[:NAMED_IN_A_REMARK]) + more
