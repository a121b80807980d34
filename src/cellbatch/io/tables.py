"""Tables as Parquet or CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from cellbatch.errors import InputError
from cellbatch.io.atomic import atomic_path

TABLE_SUFFIXES = {"parquet": ".parquet", "csv": ".csv"}
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
    if table_format not in TABLE_SUFFIXES:
        raise ValueError(f"table_format {table_format!r}, expected one of {', '.join(TABLE_SUFFIXES)}")
    with atomic_path(path) as temporary:
        if table_format == "csv":
            frame.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")
        else:
            parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), temporary, compression="zstd")


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
        raise InputError(f"{path}: cannot be read as table ({error}); run the phase that writes it again") from error
