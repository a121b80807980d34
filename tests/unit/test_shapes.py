"""Outlines, and GeoJSON read back by an independent library."""

import errno
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely.geometry import shape

from cellbatch._native.measurement import find_runs
from cellbatch.io.shapes import ShapeWriter, cell_id
from cellbatch.measurement.outlines import outline_regions


def runs_of(labels: np.ndarray, count: int):
    ids = np.arange(1, count + 1, dtype=np.uint32)
    return find_runs(labels.astype(np.uint32), ids, np.tile([0, 0, *labels.shape], (count, 1)).astype(np.int64))


def to_shapely(polygons) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([(polygon[0], polygon[1:]) for polygon in polygons])


def fill(geometry: shapely.Geometry, size: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return shapely.contains_xy(geometry, x + 0.5, y + 0.5)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    count=st.integers(1, 5),
    grain=st.sampled_from([0, 0.5, 1.5]),
)
def test_outlines_are_valid_and_exact(seed, size, count, grain):
    """Random pixels are full of corners at which four of them meet."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).random(size), grain)
    labels = np.digitize(field, np.quantile(field, np.linspace(0, 1, count + 2)[1:-1]))
    outlines = list(outline_regions(runs_of(labels, count)))
    assert len(outlines) == count
    for label, polygons in enumerate(outlines, 1):
        region = labels == label
        assert len(polygons) == ndimage.label(region)[1]
        geometry = to_shapely(polygons)
        assert geometry.is_valid, shapely.is_valid_reason(geometry)
        assert geometry.area == region.sum()
        np.testing.assert_array_equal(fill(geometry, size), region)
        for outer, *holes in polygons:
            assert shapely.LinearRing(outer).is_ccw
            assert not any(shapely.LinearRing(hole).is_ccw for hole in holes)


def test_a_straight_edge_has_two_corners_only():
    labels = np.zeros((5, 6))
    labels[1:4, 2:5] = 1
    labels[2, 3] = 0
    ((outer, hole),) = next(outline_regions(runs_of(labels, 1), (10, 20)))
    assert sorted(map(tuple, outer[:-1].tolist())) == [(22, 11), (22, 14), (25, 11), (25, 14)]
    assert sorted(map(tuple, hole[:-1].tolist())) == [(23, 12), (23, 13), (24, 12), (24, 13)]
    assert outer[0].tolist() == outer[-1].tolist()


def test_pixels_that_touch_by_a_corner_are_parts_or_holes():
    two_parts = np.array([[1, 0], [0, 1]])
    assert len(next(outline_regions(runs_of(two_parts, 1)))) == 2
    two_holes = np.ones((4, 4))
    two_holes[1, 1] = two_holes[2, 2] = 0
    (polygon,) = next(outline_regions(runs_of(two_holes, 1)))
    assert len(polygon) == 3


def test_a_region_without_a_pixel_has_no_outline():
    assert [len(parts) for parts in outline_regions(runs_of(np.array([[1, 0, 3]]), 3))] == [1, 0, 1]


@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz"])
def test_features_are_cells_as_qupath_reads_them(tmp_path: Path, name: str) -> None:
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]])
    for _ in range(2):
        with ShapeWriter(tmp_path / name, "s1") as writer:
            writer.write(1, [[square]], [[square]], {"Cell: Area µm^2": 2 / 3, "n": 4.0, "none": np.nan})
            writer.write(2, [[square], [square + 5]], [], {})
        content = (tmp_path / name).read_bytes()
    text = gzip.decompress(content) if name.endswith("gz") else content
    first, second = json.loads(text)["features"]
    assert first["id"] == str(cell_id("s1", 1))
    assert first["properties"] == {
        "objectType": "cell",
        "name": "1",
        "measurements": {"Cell: Area µm^2": 0.666667, "n": 4},
    }
    assert shape(first["geometry"]).area == shape(first["nucleusGeometry"]).area == 4
    assert second["geometry"]["type"] == "MultiPolygon"
    assert "nucleusGeometry" not in second
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_no_cells_are_an_empty_collection(tmp_path: Path) -> None:
    with ShapeWriter(tmp_path / "a.geojson", "s1"):
        pass
    assert json.loads((tmp_path / "a.geojson").read_text()) == {"type": "FeatureCollection", "features": []}


@pytest.mark.parametrize("part", [b"\n]}\n", b'{"type":"FeatureCollection","features":['], ids=["end", "beginning"])
def test_a_file_whose_end_or_beginning_finds_no_room_is_removed(
    tmp_path: Path, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = gzip.GzipFile.write

    def refuse(file: gzip.GzipFile, data: bytes) -> int:
        if data == part:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(gzip.GzipFile, "write", refuse)
    with pytest.raises(OSError, match="No space left") as found, ShapeWriter(tmp_path / "a.geojson.gz", "s1"):
        pass
    assert found.value.filename == str(tmp_path / "a.geojson.gz")
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_file_is_removed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), ShapeWriter(tmp_path / "a.geojson.gz", "s1"):
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
