"""The samplesheet: one parser that owns its rules and reports all faults of a sheet at once."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from cellbatch.errors import InputError, let_pass
from cellbatch.io.file_names import CONTROL, file_name_fault, without_secrets
from cellbatch.io.schemas import load_schema

PATH_COLUMNS = ("image", "nuclear_image", "membrane_image")
COLUMNS = ("sample", *PATH_COLUMNS, "nuclear_channel", "membrane_channel", "image_mpp")
# How alike a column's name must be to a known one to be refused as misspelt, and to be remarked on.
NEAR = 0.88
REMARKED = 0.7
SIZE_WORDS = re.compile(r"mpp|micron|pixel_?size|um_per|per_pixel")


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong with a samplesheet, with the place and the remedy.

    Attributes
    ----------
    row : line of the samplesheet, the header being line 1
    column : empty where the whole row is meant
    text : the value found, what is wrong with it, and what to do
    sample : name of the sample where that is settled
    """

    row: int
    column: str
    text: str
    sample: str = ""

    def __str__(self) -> str:
        """Row, sample, column and what is wrong, on one line."""
        sample = f", sample {self.sample}" if self.sample else ""
        column = f", column {self.column}" if self.column else ""
        return f"row {self.row}{sample}{column}: {self.text}"


class SheetError(InputError):
    """All that is wrong with a samplesheet and the images that it names; ``faults`` holds it piece by piece."""

    def __init__(self, path: Path, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: fault.row)
        listed = "\n".join(f"  {fault}" for fault in self.faults)
        count = f"{len(self.faults)} fault{'s' * (len(self.faults) > 1)}"
        super().__init__(f"{path}: {count} in the samplesheet:\n{listed}")


@dataclass(frozen=True)
class Row:
    """One sample as the user wrote it; absent cells are empty.

    Attributes
    ----------
    number : line of the samplesheet, the header being line 1
    image_mpp : µm per px, ``None`` where empty
    columns : the columns that the pipeline does not know
    cells : every cell of the row as it was written
    """

    number: int
    sample: str
    image: str = ""
    nuclear_image: str = ""
    membrane_image: str = ""
    nuclear_channel: str = ""
    membrane_channel: str = ""
    image_mpp: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Sheet:
    """A samplesheet as it was read: its rows, what is wrong with them, and what deserves a remark."""

    rows: list[Row]
    faults: list[Fault]
    remarks: list[str]


def read_samplesheet(path: Path) -> list[Row]:
    """Read and check a samplesheet.

    Parameters
    ----------
    path : CSV file in UTF-8 with a header; a byte order mark, CRLF line ends, quoted cells and blank lines are fine

    Returns
    -------
    list of Row
        in the order of the sheet

    Raises
    ------
    InputError
        with every fault of the sheet: row, column, value and remedy
    """
    sheet = parse_samplesheet(path)
    if sheet.faults:
        raise SheetError(path, sheet.faults)
    return sheet.rows


def parse_samplesheet(path: Path) -> Sheet:
    """Read a samplesheet and collect its faults instead of raising them.

    Parameters
    ----------
    path : as for ``read_samplesheet``

    Returns
    -------
    Sheet
        all rows, those with faults too; columns that look like misspelt known ones are among the remarks

    Raises
    ------
    InputError
        if the sheet has no rows, or a header that leaves open what its columns are
    """
    table = list(_read_cells(path))
    if not table:
        raise InputError(f"{path}: the samplesheet is empty; expected a header with the columns {', '.join(COLUMNS)}")
    header = _checked_header(path, table[0][1])
    if len(table) == 1:
        raise InputError(f"{path}: the samplesheet has a header and no rows; add one row per sample")
    faults: list[Fault] = []
    rows = []
    validator = Draft202012Validator(load_schema("schema_input.json")["items"])
    for number, cells in table[1:]:
        values, extra = _named_cells(number, header, cells, faults)
        mpp = _number(values.get("image_mpp", ""))
        record: dict[str, Any] = {name: text for name, text in values.items() if text}
        if mpp is not None:
            record["image_mpp"] = mpp
        faults += [_schema_fault(number, error, values) for error in validator.iter_errors(record)]
        faults += _row_faults(number, values)
        named = {name: text for name, text in values.items() if name != "image_mpp"}
        rows.append(Row(number, image_mpp=mpp, columns=extra, cells=values | extra, **{"sample": "", **named}))
    faults += _repeated_samples(rows)
    return Sheet(rows, sorted(faults, key=lambda fault: fault.row), _remarks(header))


def _read_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of every row that is not blank."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        let_pass(str(path), error)
        raise InputError(f"{path}: cannot be read ({error.strerror}); correct --input") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line} is not UTF-8 text; save the samplesheet as CSV in UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield start, stripped
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}: line {start} cannot be read as CSV ({error}); check its quotes") from error


def _checked_header(path: Path, cells: list[str]) -> list[str]:
    """Column names; misspelt ones are refused, since their values would be lost without a word."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    if len(cells) == 1 and re.search(r"[;\t]", cells[0]):
        raise InputError(f"{path}: the columns are not separated by commas; save the samplesheet as CSV with commas")
    faults = []
    for name in cells:
        if not name or CONTROL.search(name):
            faults.append(f"column {name!r} has no usable name; name it or delete it")
        elif cells.count(name) > 1:
            faults.append(f"column {name!r} occurs {cells.count(name)} times; keep one")
        elif name not in COLUMNS and _nearest(name, NEAR):
            faults.append(f"column {name!r} is unknown; did you mean {_nearest(name, NEAR)!r}? Rename it")
    if "sample" not in cells and not any("'sample'" in fault for fault in faults):
        faults.append(f"column 'sample' is missing; the header is {', '.join(cells)}")
    if faults:
        listed = "\n".join(f"  row 1: {fault}" for fault in dict.fromkeys(faults))
        raise InputError(f"{path}: faults in the samplesheet's header:\n{listed}")
    return cells


def _nearest(name: str, likeness: float) -> str:
    """Known column that a name is like; empty if there is none."""
    folded = re.sub(r"[\s-]+", "_", name.casefold())
    if likeness == REMARKED and SIZE_WORDS.search(folded):
        return "image_mpp"
    return "".join(difflib.get_close_matches(folded, COLUMNS, 1, likeness))


def _remarks(header: list[str]) -> list[str]:
    """Unknown columns that may be meant for known ones; they stay the user's own."""
    return [
        f"samplesheet column {name!r} is not one that the pipeline reads, and travels along as your own; "
        f"rename it if {near!r} was meant"
        for name in header
        if name not in COLUMNS and (near := _nearest(name, REMARKED)) and near not in header
    ]


def _named_cells(
    number: int, header: list[str], cells: list[str], faults: list[Fault]
) -> tuple[dict[str, str], dict[str, str]]:
    """Known and unknown columns of a row; absent cells at its end are empty."""
    if any(cells[len(header) :]):
        text = f"{len(cells)} cells under {len(header)} columns ({cells[len(header)]!r} is too many)"
        faults.append(Fault(number, "", f"{text}; put cells that hold commas in double quotes"))
    padded = cells[: len(header)] + [""] * (len(header) - len(cells))
    named = dict(zip(header, padded, strict=True))
    for name, text in named.items():
        if name not in PATH_COLUMNS and CONTROL.search(text):
            faults.append(Fault(number, name, f"{text!r} holds a line break or control character; remove it"))
    # what signs an address must not be written down: it is staged by the launch, and only named from here on
    named |= {name: without_secrets(named[name]) for name in PATH_COLUMNS if name in named}
    known = {name: text for name, text in named.items() if name in COLUMNS}
    return known, {name: text for name, text in named.items() if name not in COLUMNS}


def _number(text: str) -> float | None:
    """Parse a finite number, else ``None``; a decimal comma is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _schema_fault(number: int, error: Any, values: Mapping[str, str]) -> Fault:
    """Put a schema error into the words of the user's table."""
    if error.validator == "required":
        return Fault(number, "sample", "is empty; give every row a name")
    column = str(error.absolute_path[0]) if error.absolute_path else "?"
    written = values.get(column, error.instance)
    remedy = error.schema.get("errorMessage", error.message)
    return Fault(number, column, f"{written!r}: {remedy}")


def _row_faults(number: int, values: Mapping[str, str]) -> list[Fault]:
    """Rules over several cells of a row, and over paths."""
    faults = []
    image, nuclear, membrane = (values.get(name, "") for name in PATH_COLUMNS)
    if image and (nuclear or membrane):
        text = f"{image!r} stands beside nuclear_image or membrane_image"
        faults.append(Fault(number, "image", f"{text}; give one file in image, or one per channel in the other two"))
    elif membrane and not nuclear:
        text = f"is empty while membrane_image is {membrane!r}; give the nuclear file"
        faults.append(Fault(number, "nuclear_image", text))
    elif not image and not nuclear:
        faults.append(Fault(number, "image", "is empty; give a file in image or in nuclear_image"))
    for name in PATH_COLUMNS:
        fault = file_name_fault(values.get(name, ""))
        if fault:
            faults.append(Fault(number, name, f"{values[name]!r} {fault}"))
    return faults


def _repeated_samples(rows: list[Row]) -> list[Fault]:
    """Names that occur again, ignoring case: they would share file names."""
    first: dict[str, Row] = {}
    faults = []
    for row in rows:
        earlier = first.setdefault(row.sample.casefold(), row)
        if row.sample and earlier is not row:
            text = f"{row.sample!r} is already the name of row {earlier.number} (case does not count); rename one"
            faults.append(Fault(row.number, "sample", text))
    return faults
