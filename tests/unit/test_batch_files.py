"""Results of a batch in one file of each kind."""

import gzip
import json
import stat
import zipfile

import numpy as np
import pandas as pd
import pytest

from cellbatch.errors import ConfigError
from cellbatch.io.shapes import ShapeWriter
from cellbatch.io.tables import read_table, write_table
from cellbatch.phases.batch_files import join_pictures, join_shapes, join_tables
from cellbatch.phases.results_layout import choose_layout, join_labels

SQUARE = [[np.array([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]])]]


@pytest.mark.parametrize(
    ("wanted", "samples", "table_format", "expected"),
    [
        (None, 10_000, "parquet", "sample"),
        (None, 10_001, "csv", "batch"),
        (None, 10_001, "anndata", "sample"),
        ("batch", 1, "parquet", "batch"),
        ("sample", 1_000_000, "parquet", "sample"),
    ],
)
def test_many_samples_make_files_per_batch(wanted, samples, table_format, expected):
    assert choose_layout(wanted, samples, table_format) == expected


@pytest.mark.parametrize(("wanted", "table_format"), [("batch", "anndata"), ("folder", "parquet")])
def test_layouts_that_cannot_be_are_refused(wanted, table_format):
    with pytest.raises(ConfigError, match="--results_layout"):
        choose_layout(wanted, 3, table_format)


def test_labels_go_into_an_archive_that_is_the_same_every_time(tmp_path):
    archives = []
    for place in ("one", "other"):
        folder = tmp_path / place
        folder.mkdir()
        for name in ("b.nuclear.ome.tif", "a.whole_cell.ome.tif"):
            (folder / name).write_bytes(name.encode() * 1000)
        join_labels(folder, "b0001")
        assert [path.name for path in folder.iterdir()] == ["b0001.zip"]
        archives.append((folder / "b0001.zip").read_bytes())
    assert archives[0] == archives[1]
    with zipfile.ZipFile(tmp_path / "one/b0001.zip") as archive:
        assert archive.namelist() == ["a.whole_cell.ome.tif", "b.nuclear.ome.tif"]
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {stat.filemode(one.external_attr >> 16) for one in archive.infolist()} == {"-rw-r--r--"}
        assert archive.read("b.nuclear.ome.tif") == b"b.nuclear.ome.tif" * 1000


@pytest.mark.parametrize("table_format", ["parquet", "csv"])
def test_tables_are_joined_whatever_columns_each_has(tmp_path, table_format):
    one = pd.DataFrame({"sample": ["007", "007"], "label": [1, 2], "mean_DAPI": [0.1, 1 / 3]})
    other = pd.DataFrame({"sample": ["x.cells"], "label": [1], "mean_CD45": [5.0]})
    for frame in (one, other):
        write_table(frame, tmp_path / f"{frame['sample'][0]}.cells.{table_format}", table_format)
    join_tables(tmp_path, "b")
    (path,) = tmp_path.iterdir()
    joined = read_table(path)
    assert path.name == f"b.{table_format}"
    pd.testing.assert_frame_equal(
        joined.astype({"sample": "object"}), pd.concat([one, other], ignore_index=True).astype({"sample": "object"})
    )


@pytest.mark.parametrize("table_format", ["parquet", "csv"])
def test_tables_in_the_words_of_other_tools_tell_the_sample(tmp_path, table_format):
    for sample in ("a", "b.cells"):
        write_table(pd.DataFrame({"CellID": [1, 2]}), tmp_path / f"{sample}.cells.{table_format}", table_format)
    join_tables(tmp_path, "b1")
    joined = read_table(tmp_path / f"b1.{table_format}")
    assert joined["sample"].tolist() == ["a", "a", "b.cells", "b.cells"]
    assert joined["CellID"].tolist() == [1, 2, 1, 2]


def test_shapes_are_joined_and_tell_their_sample(tmp_path):
    for name, sample in (("a.geojson", "a"), ('q"uote.geojson.gz', 'q"uote'), ("empty.geojson", "empty")):
        with ShapeWriter(tmp_path / name, sample) as shapes:
            for label in range(1, 1 if sample == "empty" else 3):
                shapes.write(label, SQUARE, SQUARE, {"Area": 16.0})
    join_shapes(tmp_path, "b")
    (path,) = tmp_path.iterdir()
    features = json.loads(gzip.decompress(path.read_bytes()))["features"]
    found = [(one["properties"]["sample"], one["properties"]["name"]) for one in features]
    assert found == [("a", "1"), ("a", "2"), ('q"uote', "1"), ('q"uote', "2")]
    assert features[0]["properties"]["measurements"] == {"Area": 16}


def test_shapes_that_were_written_plain_and_compressed_are_joined_once(tmp_path):
    for name in ("a.b.geojson", "a.geojson", "a.geojson.gz", "b.geojson.gz"):
        with ShapeWriter(tmp_path / name, name.partition(".geojson")[0]) as shapes:
            shapes.write(1, SQUARE, SQUARE, {})
    join_shapes(tmp_path, "b0001")
    (path,) = tmp_path.iterdir()
    features = json.loads(gzip.decompress(path.read_bytes()))["features"]
    assert [one["properties"]["sample"] for one in features] == ["a.b", "a", "b"]


def test_pictures_of_what_passed_are_left_out(tmp_path):
    folder = tmp_path / "qc"
    folder.mkdir()
    for name in ("a.overlay.png", "a.thumbnail.jpg", "a.crop1.png", "a.b.overlay.png", "c.overlay.png"):
        (folder / name).touch()
    rows = pd.DataFrame(
        {"sample": ["a", "a.b", "c"], "verdict": ["pass", "warn", "fail"], "thumbnail": [b"", b"", b""]}
    )
    write_table(rows, tmp_path / "summary.parquet", "parquet")
    join_pictures(folder, tmp_path / "summary.parquet", "b")
    assert sorted(path.name for path in folder.iterdir()) == ["a.b.overlay.png", "b.csv", "c.overlay.png"]
    assert read_table(folder / "b.csv").columns.tolist() == ["sample", "verdict"]


def test_nothing_to_join_leaves_nothing(tmp_path):
    for join in (join_labels, join_tables, join_shapes):
        join(tmp_path, "b")
    assert not list(tmp_path.iterdir())
