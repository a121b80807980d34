"""Tables as Parquet or CSV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from cellbatch.errors import InputError, let_pass
from cellbatch.io.atomic import atomic_path
from cellbatch.spec import TABLE_SUFFIXES

# Names stay text when they look like numbers: "007" must not become 7.
TEXT_COLUMNS = ("sample", "batch")


def write_table(frame: pd.DataFrame, path: Path, table_format: str) -> None:
    """Write a table; the index is left out.

    Parameters
    ----------
    frame : columns with plain names; types travel into Parquet as they are
    path : file to write; it appears only when complete
    table_format : ``parquet`` (zstd) or ``csv`` (UTF-8, commas, shortest text that reads back as the same number)

    Raises
    ------
    ValueError
        for another format
    """
    write_table_pieces([frame], path, table_format)


def write_table_pieces(pieces: Iterable[pd.DataFrame], path: Path, table_format: str) -> None:
    """Write a table that comes in pieces, of which one is in memory at a time.

    Parameters
    ----------
    pieces : at least one, each with the same columns and types; in Parquet each becomes a row group
    path, table_format : as in ``write_table``

    Raises
    ------
    ValueError
        for another format, or if there is no piece
    """
    if table_format not in TABLE_SUFFIXES:
        raise ValueError(f"table_format {table_format!r}, expected one of {', '.join(TABLE_SUFFIXES)}")
    rest = iter(pieces)
    first = next(rest, None)
    if first is None:
        raise ValueError(f"{path}: a table without a piece has no columns")
    with atomic_path(path) as temporary:
        if table_format == "csv":
            first.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")
            for piece in rest:
                piece.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8", mode="a", header=False)
            return
        table = pa.Table.from_pandas(first, preserve_index=False)
        with parquet.ParquetWriter(temporary, table.schema, compression="zstd") as writer:
            writer.write_table(table)
            for piece in rest:
                writer.write_table(pa.Table.from_pandas(piece, schema=table.schema, preserve_index=False))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that ``write_table`` wrote, by its suffix.

    A CSV file knows no types: numbers are told by their look, but ``sample`` and ``batch`` stay text, and only an
    empty cell is missing (a sample may be called ``NA``).

    Raises
    ------
    InputError
        if it cannot be read
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".csv":
            kinds = csv.ConvertOptions(null_values=[""], column_types=dict.fromkeys(TEXT_COLUMNS, pa.string()))
            return csv.read_csv(path, convert_options=kinds).to_pandas()
        return parquet.read_table(path).to_pandas()
    except (OSError, ValueError) as error:
        let_pass(str(path), error)
        raise InputError(f"{path}: cannot be read as table ({error}); run the phase that writes it again") from error
