"""Tables on disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from cellbatch.errors import InputError
from cellbatch.io.tables import read_table, write_table

FRAME = pd.DataFrame(
    {
        "sample": ["a", "b,c", 'd"e'],
        "label": np.array([1, 2, 2**32 - 1], np.uint32),
        "area": np.array([15.0, 0.1, 1 / 3]),
        "intensity": np.array([1.5, np.nan, 3e-30], np.float32),
    }
)


def test_parquet_keeps_types(tmp_path: Path) -> None:
    write_table(FRAME, tmp_path / "a.parquet", "parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.parquet"), FRAME, check_dtype=True)
    assert parquet.ParquetFile(tmp_path / "a.parquet").schema_arrow.names == list(FRAME.columns)


def test_csv_keeps_values(tmp_path: Path) -> None:
    write_table(FRAME, tmp_path / "a.csv", "csv")
    found = read_table(tmp_path / "a.csv")
    assert found["sample"].tolist() == FRAME["sample"].tolist()
    assert found["label"].tolist() == FRAME["label"].tolist()
    np.testing.assert_array_equal(found["area"], FRAME["area"])
    np.testing.assert_array_equal(found["intensity"].astype("float32"), FRAME["intensity"])
    assert b"\r" not in (tmp_path / "a.csv").read_bytes()


def test_names_in_csv_stay_names(tmp_path: Path) -> None:
    names = ["007", "NA", "nan"]
    write_table(pd.DataFrame({"sample": names, "other": ["x", "NA", ""]}), tmp_path / "a.csv", "csv")
    found = read_table(tmp_path / "a.csv")
    assert found["sample"].tolist() == names
    assert found["other"].tolist() == ["x", "NA", ""]


@pytest.mark.parametrize("table_format", ["parquet", "csv"])
def test_no_rows(tmp_path: Path, table_format: str) -> None:
    path = tmp_path / f"a.{table_format}"
    write_table(FRAME.iloc[:0], path, table_format)
    found = read_table(path)
    assert len(found) == 0
    assert list(found.columns) == list(FRAME.columns)


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_table(FRAME, tmp_path / name, "parquet")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_formats_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="table_format 'xls'"):
        write_table(FRAME, tmp_path / "a.xls", "xls")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no table")
    for name in ("a.parquet", "b.csv"):
        with pytest.raises(InputError, match="cannot be read as table"):
            read_table(tmp_path / name)
