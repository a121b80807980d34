"""Channel names from a table of markers: ``markers.csv`` of MCMICRO, ``panel.csv`` of steinbock."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cellbatch.errors import InputError
from cellbatch.spec import ImageHeader

# column that holds the names, by layout
NAME_COLUMNS = {"mcmicro": "marker_name", "steinbock": "name"}
NUCLEAR, MEMBRANE = "1", "2"
YES = ("1", "1.0", "true", "yes")
NO = ("", "0", "0.0", "false", "no", "nan")


@dataclass(frozen=True)
class Marker:
    """One channel: its name, whether images hold it, and what steinbock's column ``deepcell`` says of it."""

    name: str
    is_kept: bool = True
    role: str = ""


@dataclass(frozen=True)
class MarkerTable:
    """Channels in the order of the images.

    Attributes
    ----------
    file : for messages
    markers : one per row
    """

    file: str
    markers: tuple[Marker, ...]

    def names_for(self, count: int) -> tuple[str, ...]:
        """Names of an image's channels: those that are kept, or all rows, whichever are as many.

        Raises
        ------
        InputError
            if neither are
        """
        kept = tuple(marker.name for marker in self.markers if marker.is_kept)
        every = tuple(marker.name for marker in self.markers)
        for names in (kept, every):
            if len(names) == count:
                return names
        told = f"{len(every)} rows" + (f", {len(kept)} of them kept" if len(kept) != len(every) else "")
        raise InputError(
            f"the image has {count} channels, but --markers {self.file} has {told}; give a table with one row per "
            "channel, in the order of the channels"
        )

    def recipe(self, role: str) -> str:
        """Mean of the channels that steinbock's column ``deepcell`` marks: 1 nuclear, 2 membrane; empty without any."""
        names = ['"' + marker.name.replace('"', '""') + '"' for marker in self.markers if marker.role == role]
        return f"mean({','.join(names)})" if len(names) > 1 else "".join(names)

    def rename(self, header: ImageHeader) -> ImageHeader:
        """Give an image the names of the table.

        Raises
        ------
        InputError
            if the numbers differ, or the image gives one of these names to another channel
        """
        names = self.names_for(header.shape[0])
        for index, own in enumerate(header.channel_names):
            if own and own != names[index] and own in names:
                raise InputError(
                    f"channel {index} is called {own!r} in the image and {names[index]!r} in --markers {self.file}, "
                    f"where {own!r} is channel {names.index(own)}; correct the order of the rows"
                )
        return replace(header, channel_names=names)


def parse_markers(text: str, file: str) -> MarkerTable:
    """Read a table of markers.

    Parameters
    ----------
    text : CSV with a header that has the column ``marker_name`` (MCMICRO; rows in the order of the channels) or
        ``name`` (steinbock; images hold the rows whose column ``keep`` is 1)
    file : for messages

    Raises
    ------
    InputError
        if it has neither column or no rows, a name is empty, or MCMICRO's ``channel_number`` says another order

    References
    ----------
    MCMICRO, input files; steinbock, panel file.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), strict=True) if any(row)]
    except csv.Error as error:
        raise InputError(f"--markers {file}: cannot be read as CSV ({error}); check its quotes") from error
    header = [cell.strip() for cell in rows[0]] if rows else []
    layout = next((layout for layout, column in NAME_COLUMNS.items() if column in header), "")
    if not layout:
        near = difflib.get_close_matches("marker_name", header, 1, 0.6)
        hint = f"; did you mean {near[0]!r}? Rename it" if near else "; give a markers.csv or panel.csv"
        raise InputError(
            f"--markers {file}: has the columns {', '.join(header) or 'none'}, expected marker_name (MCMICRO) or name "
            f"(steinbock){hint}"
        )
    if len(rows) == 1:
        raise InputError(f"--markers {file}: has a header and no rows; add one row per channel")
    table = [dict(zip(header, (cell.strip() for cell in row), strict=False)) for row in rows[1:]]
    _check_order(table, file)
    markers = tuple(
        _marker(cells, NAME_COLUMNS[layout], f"--markers {file}: row {number}") for number, cells in enumerate(table, 2)
    )
    return MarkerTable(file, markers)


def _marker(cells: Mapping[str, str], column: str, where: str) -> Marker:
    """One row."""
    name, keep = cells.get(column, ""), cells.get("keep", "1").lower()
    if not name:
        raise InputError(f"{where}: {column} is empty; name the channel")
    if keep not in YES + NO:
        raise InputError(f"{where}: keep is {keep!r}; expected 1 or 0")
    return Marker(name, keep in YES, cells.get("deepcell", "").removesuffix(".0"))


def _check_order(table: Sequence[Mapping[str, str]], file: str) -> None:
    """Refuse channel numbers that do not ascend: rows stand for channels by their order alone."""
    texts = [cells.get("channel_number", "") for cells in table]
    numbers = [int(text) for text in texts if text.isascii() and text.isdigit()]
    is_numbered = len(numbers) == len(table) and len(set(numbers)) == len(numbers)
    if is_numbered and numbers != sorted(numbers):
        raise InputError(
            f"--markers {file}: channel_number does not ascend from row to row; sort the rows in the order of the "
            "image's channels"
        )
