"""A samplesheet of a folder: a row per image, with what the files leave open named instead of guessed."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cellbatch.errors import ConfigError, InputError, explain_system_error
from cellbatch.io.atomic import write_text
from cellbatch.io.file_names import file_name_fault, file_stem, to_sample_name
from cellbatch.io.folders import is_collection, list_members
from cellbatch.io.images import read_header
from cellbatch.io.samplesheet import COLUMNS, Row
from cellbatch.phases.settle_samples import Fallbacks, settle_sample
from cellbatch.spec import ImageHeader

SHEET_COLUMNS = ("sample", "image", "nuclear_channel", "membrane_channel", "image_mpp")
# of a sample's name, with room for a number behind it
LONGEST = 120


@dataclass(frozen=True)
class ListedImage:
    """One image of a sheet: its row, what its header says, and the columns that the run will ask for."""

    row: Mapping[str, str]
    header: ImageHeader
    open_columns: tuple[str, ...] = ()


@dataclass
class ListedImages:
    """What was found: images for the sheet, files that cannot be read, and files of other kinds."""

    images: list[ListedImage] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def write_samplesheet(places: Sequence[Path], path: Path, known: Mapping[str, str]) -> ListedImages:
    """Write a samplesheet with a row per image.

    Parameters
    ----------
    places : folders, searched with all that is below them, and image files
    path : CSV file to write; image paths are relative to its folder where they lie below it
    known : ``image_mpp``, ``nuclear_channel``, ``membrane_channel`` for the images that need them: a pixel size where
        the file states none, channels where there are several

    Returns
    -------
    ListedImages
        With what each row still leaves open.

    Raises
    ------
    ConfigError
        If the file exists already.
    InputError
        If a place is not there, or nothing that can be read was found.
    """
    if path.exists():
        raise ConfigError(f"{path}: exists already; delete it, or give another name with --output")
    found = ListedImages()
    members = list(_members(places, found))
    common = Counter(_plain_name(member or place.name).casefold() for place, member in members)
    names: dict[str, int] = {}
    for place, member in members:
        image = place / member if member else place
        try:
            header = read_header(image)
        except (InputError, OSError) as error:
            meant = explain_system_error(error) if isinstance(error, OSError) else error
            found.left_out.append((str(image), str(meant or error).removeprefix(f"{image}: ")))
            continue
        fault = file_name_fault(str(image))
        if fault:
            found.left_out.append((str(image), fault))
            continue
        row = _row(_free_name(member or place.name, common, names), _written(image, path), header, known)
        found.images.append(ListedImage(row, header, _open_columns(row, header)))
    if not found.images:
        listed = "".join(f"\n  {image}: {reason}" for image, reason in found.left_out)
        raise InputError(f"{', '.join(map(str, places))}: holds no image that can be read{listed}")
    text = io.StringIO()
    table = csv.DictWriter(text, SHEET_COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(dict(image.row) for image in found.images)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())
    return found


def _members(places: Sequence[Path], found: ListedImages) -> Iterator[tuple[Path, str]]:
    """Images of folders, and images that are named themselves, for which the member is empty."""
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: no such file or folder")
        if not place.is_dir() or not is_collection(place):
            yield place, ""
            continue
        members = list_members(place)
        inside = {*members, *(f"{member}/" for member in members)}
        others = sorted(file.relative_to(place).as_posix() for file in place.rglob("*") if file.is_file())
        stores = tuple(name for name in inside if name.endswith("/"))
        found.others += [name for name in others if name not in inside and not name.startswith((".", *stores))]
        for member in members:
            yield place, member


def _plain_name(member: str) -> str:
    return to_sample_name(file_stem(member))[:LONGEST] or "image"


def _free_name(member: str, common: Mapping[str, int], names: dict[str, int]) -> str:
    """Name of a sample that no other has, ignoring case: of the file; of several, with its folders; else numbered.

    ``names`` holds, per name that is taken, the last number that was tried behind it: files whose names say
    nothing are numbered in one go.
    """
    plain = _plain_name(member)
    stem = to_sample_name(str(Path(member).parent / file_stem(member)))[:LONGEST] or "image"
    first = name = plain if common[plain.casefold()] == 1 else stem
    while name.casefold() in names:
        names[first.casefold()] += 1
        name = f"{first}_{names[first.casefold()]}"
    names[name.casefold()] = 1
    return name


def _written(image: Path, sheet: Path) -> str:
    """Path of an image as a sheet in that place may name it."""
    here = Path(os.path.abspath(sheet)).parent
    there = Path(os.path.abspath(image))
    return str(there.relative_to(here)) if there.is_relative_to(here) else str(there)


def _row(sample: str, image: str, header: ImageHeader, known: Mapping[str, str]) -> dict[str, str]:
    """Cells of one image."""
    row = dict.fromkeys(SHEET_COLUMNS, "") | {"sample": sample, "image": image}
    if header.shape[0] > 1:
        row |= {name: known.get(name, "") for name in ("nuclear_channel", "membrane_channel")}
    if header.image_mpp is None:
        row["image_mpp"] = known.get("image_mpp", "")
    return row


def _open_columns(row: Mapping[str, str], header: ImageHeader) -> tuple[str, ...]:
    """Columns that the run would ask for, by the run's own rules."""
    mpp = float(row["image_mpp"]) if row["image_mpp"] else None
    cells = {name: row[name] for name in ("sample", "image", "nuclear_channel", "membrane_channel")}
    _, faults = settle_sample(Row(2, image_mpp=mpp, **cells), {"image": header}, Fallbacks())
    return tuple(dict.fromkeys(column for column, _ in faults if column in COLUMNS))
