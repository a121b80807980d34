"""The samplesheet: one parser that owns its rules and reports all faults of a sheet at once."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from cellbatch.errors import InputError
from cellbatch.io.schemas import load_schema

PATH_COLUMNS = ("image", "nuclear_image", "membrane_image")
COLUMNS = ("sample", *PATH_COLUMNS, "nuclear_channel", "membrane_channel", "image_mpp")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
BRACES = re.compile(r"[{}]")
NEAR = 0.88


@dataclass(frozen=True)
class Row:
    """One sample as the user wrote it; absent cells are empty.

    Attributes
    ----------
    number : line of the samplesheet, the header being line 1
    image_mpp : µm per px, ``None`` where empty
    columns : the columns that the pipeline does not know
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
    table = list(_read_cells(path))
    if not table:
        raise InputError(f"{path}: the samplesheet is empty; expected a header with the columns {', '.join(COLUMNS)}")
    header = _checked_header(path, table[0][1])
    if len(table) == 1:
        raise InputError(f"{path}: the samplesheet has a header and no rows; add one row per sample")
    faults: list[str] = []
    rows = []
    validator = Draft202012Validator(load_schema("schema_input.json")["items"])
    for number, cells in table[1:]:
        values, extra = _named_cells(number, header, cells, faults)
        mpp = _number(values.get("image_mpp", ""))
        record: dict[str, Any] = {name: text for name, text in values.items() if text}
        if mpp is not None:
            record["image_mpp"] = mpp
        found = [_schema_fault(number, error, values) for error in validator.iter_errors(record)]
        found += _row_faults(number, values)
        faults += found
        values.pop("image_mpp", None)
        rows.append(Row(number, image_mpp=mpp, columns=extra, **{"sample": "", **values}))
    faults += _repeated_samples(rows)
    if faults:
        listed = "\n".join(f"  {fault}" for fault in sorted(faults, key=_fault_row))
        raise InputError(f"{path}: {len(faults)} fault{'s' * (len(faults) > 1)} in the samplesheet:\n{listed}")
    return rows


def check_file_name(name: str) -> None:
    """Refuse paths that cannot be staged safely: braces and control characters.

    Brackets, spaces, quotes, dollar signs, asterisks and any alphabet are fine.

    Raises
    ------
    InputError
        naming the character
    """
    fault = _path_fault(name)
    if fault:
        raise InputError(f"{name!r} {fault}")


def _path_fault(name: str) -> str:
    """Say what is wrong with a path; empty if nothing is."""
    control = CONTROL.search(name)
    if control:
        return f"holds the control character {control.group()!r}, which breaks staging; rename the file"
    brace = BRACES.search(name)
    if brace:
        return f"holds {brace.group()!r}, which Nextflow takes for a pattern; rename the file or folder"
    return ""


def _read_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of every row that is not blank."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
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
        elif name not in COLUMNS:
            folded = re.sub(r"[\s-]+", "_", name.casefold())
            near = difflib.get_close_matches(folded, COLUMNS, 1, NEAR)
            if near:
                faults.append(f"column {name!r} is unknown; did you mean {near[0]!r}? Rename it")
    if "sample" not in cells and not any("'sample'" in fault for fault in faults):
        faults.append(f"column 'sample' is missing; the header is {', '.join(cells)}")
    if faults:
        listed = "\n".join(f"  row 1: {fault}" for fault in dict.fromkeys(faults))
        raise InputError(f"{path}: faults in the samplesheet's header:\n{listed}")
    return cells


def _named_cells(
    number: int, header: list[str], cells: list[str], faults: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Known and unknown columns of a row; absent cells at its end are empty."""
    if any(cells[len(header) :]):
        faults.append(
            f"row {number}: {len(cells)} cells under {len(header)} columns ({cells[len(header)]!r} is too many); "
            "put cells that hold commas in double quotes"
        )
    padded = cells[: len(header)] + [""] * (len(header) - len(cells))
    named = dict(zip(header, padded, strict=True))
    for name, text in named.items():
        if name not in PATH_COLUMNS and CONTROL.search(text):
            faults.append(f"row {number}, column {name}: {text!r} holds a line break or control character; remove it")
    known = {name: text for name, text in named.items() if name in COLUMNS}
    return known, {name: text for name, text in named.items() if name not in COLUMNS}


def _number(text: str) -> float | None:
    """Parse a finite number, else ``None``; a decimal comma is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _schema_fault(number: int, error: Any, values: Mapping[str, str]) -> str:
    """Put a schema error into the words of the user's table."""
    if error.validator == "required":
        return f"row {number}, column sample: is empty; give every row a name"
    column = str(error.absolute_path[0]) if error.absolute_path else "?"
    written = values.get(column, error.instance)
    remedy = error.schema.get("errorMessage", error.message)
    return f"row {number}, column {column}: {written!r}: {remedy}"


def _row_faults(number: int, values: Mapping[str, str]) -> list[str]:
    """Rules over several cells of a row, and over paths."""
    faults = []
    image, nuclear, membrane = (values.get(name, "") for name in PATH_COLUMNS)
    if image and (nuclear or membrane):
        faults.append(
            f"row {number}, column image: {image!r} stands beside nuclear_image or membrane_image; "
            "give one file in image, or one per channel in the other two"
        )
    elif membrane and not nuclear:
        faults.append(
            f"row {number}, column nuclear_image: is empty while membrane_image is {membrane!r}; give the nuclear file"
        )
    elif not image and not nuclear:
        faults.append(f"row {number}, column image: is empty; give a file in image or in nuclear_image")
    for name in PATH_COLUMNS:
        fault = _path_fault(values.get(name, ""))
        if fault:
            faults.append(f"row {number}, column {name}: {values[name]!r} {fault}")
    return faults


def _repeated_samples(rows: list[Row]) -> list[str]:
    """Names that occur again, ignoring case: they would share file names."""
    first: dict[str, Row] = {}
    faults = []
    for row in rows:
        earlier = first.setdefault(row.sample.casefold(), row)
        if row.sample and earlier is not row:
            faults.append(
                f"row {row.number}, column sample: {row.sample!r} is already the name of row {earlier.number} "
                "(case does not count); rename one"
            )
    return faults


def _fault_row(fault: str) -> int:
    """Row number at the head of a message, for sorting."""
    match = re.match(r"row (\d+)", fault)
    return int(match.group(1)) if match else 0
