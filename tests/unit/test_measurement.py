"""The cells table against scikit-image's measurements."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from skimage.measure import regionprops_table

from cellbatch.measurement import measure_cells, regions
from cellbatch.measurement.cells import unique_names

SHAPE_COLUMNS = {
    "label": "label",
    "area": "area",
    "centroid_y": "centroid-0",
    "centroid_x": "centroid-1",
    "bbox_y0": "bbox-0",
    "bbox_x0": "bbox-1",
    "bbox_y1": "bbox-2",
    "bbox_x1": "bbox-3",
}
TYPES = {
    "label": np.uint32,
    "area": np.int64,
    "area_um2": np.float64,
    "centroid_y": np.float64,
    "centroid_x": np.float64,
    "bbox_y0": np.int64,
    "bbox_x0": np.int64,
    "bbox_y1": np.int64,
    "bbox_x1": np.int64,
    "mean_DNA": np.float64,
}


def make_labels(rng: np.random.Generator, shape: tuple[int, int], count: int) -> np.ndarray:
    """Blocks of random labels with gaps in the numbering, some in several pieces."""
    coarse = rng.integers(0, count + 1, (-(-shape[0] // 3), -(-shape[1] // 3)))
    return coarse.repeat(3, 0).repeat(3, 1)[: shape[0], : shape[1]].astype(np.uint32)


def assert_equals_skimage(table: pd.DataFrame, labels: np.ndarray, channels: np.ndarray) -> None:
    expected = regionprops_table(
        labels.astype(np.int64),
        channels.astype(np.float64).transpose(1, 2, 0),
        properties=("label", "area", "centroid", "bbox", "intensity_mean"),
    )
    for column, reference in SHAPE_COLUMNS.items():
        assert_allclose(table[column], expected[reference], rtol=1e-12, err_msg=column)
    for position in range(len(channels)):
        assert_allclose(table[f"mean_c{position}"], expected[f"intensity_mean-{position}"], rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    count=st.integers(1, 60),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "float32", "float64"]),
    strip_px=st.integers(1, 2000),
)
def test_equals_scikit_image(seed, shape, count, dtype, strip_px):
    rng = np.random.default_rng(seed)
    labels = make_labels(rng, shape, count)
    channels = (rng.random((2, *shape)) * 200).astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions.strips, "__defaults__", (strip_px,))
        table = measure_cells(labels, channels.__getitem__, ["c0", "c1"], 0.5)
    assert_array_equal(table["label"], np.unique(labels[labels > 0]))
    if len(table):
        assert_equals_skimage(table, labels, channels)


def test_columns_and_types():
    labels = np.zeros((6, 9), np.uint32)
    labels[1:3, 2:5] = 1
    labels[4, 8] = 2
    table = measure_cells(labels, lambda _: np.arange(54.0).reshape(6, 9), ["DNA"], 0.25)
    assert {name: table[name].dtype for name in table} == TYPES
    assert table.loc[0].to_dict() == {
        "label": 1,
        "area": 6,
        "area_um2": 6 / 16,
        "centroid_y": 1.5,
        "centroid_x": 3.0,
        "bbox_y0": 1,
        "bbox_x0": 2,
        "bbox_y1": 3,
        "bbox_x1": 5,
        "mean_DNA": 16.5,
    }
    assert table.loc[1, "mean_DNA"] == 44


def test_image_without_cells_gives_an_empty_table_with_all_columns():
    table = measure_cells(np.zeros((5, 7), np.uint32), lambda _: np.ones((5, 7)), ["DNA"], 1.0)
    assert len(table) == 0
    assert {name: table[name].dtype for name in table} == TYPES


@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_sparse_labels_need_no_memory_for_the_gaps(dtype):
    labels = np.zeros((4, 5), dtype)
    labels[0, :2], labels[2:, 3] = 4_000_000_000, 7
    table = measure_cells(labels, lambda _: np.ones((4, 5)), [], 1.0)
    assert table["label"].tolist() == [7, 4_000_000_000]
    assert table["area"].tolist() == [2, 2]
    assert table["bbox_x0"].tolist() == [3, 0]


def test_sparse_labels_without_background():
    labels = np.full((2, 2), 900, np.uint32)
    table = measure_cells(labels, lambda _: np.full((2, 2), 5, np.uint16), ["DNA"], 1.0)
    assert table[["label", "area", "mean_DNA"]].values.tolist() == [[900, 4, 5.0]]


def test_nan_stays_within_its_cell():
    labels = np.array([[0, 1], [2, 2]], np.uint32)
    table = measure_cells(labels, lambda _: np.array([[np.nan, 3.0], [np.nan, 1.0]]), ["DNA"], 1.0)
    assert table["mean_DNA"].tolist()[0] == 3
    assert np.isnan(table["mean_DNA"][1])


def test_each_channel_is_read_once_and_in_order():
    asked = []

    def read(position):
        asked.append(position)
        return np.ones((3, 3))

    measure_cells(np.ones((3, 3), np.uint32), read, ["a", "b", "c"], 1.0)
    assert asked == [0, 1, 2]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["DNA", "CD45"], ["DNA", "CD45"]),
        (["", " "], ["channel_0", "channel_1"]),
        (["DNA", "", "DNA", "DNA_2"], ["DNA", "channel_1", "DNA_3", "DNA_2"]),
        (["channel_1", ""], ["channel_1", "channel_1_2"]),
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
    ],
)
def test_channel_names_become_unique(names, expected):
    assert unique_names(names) == expected


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.zeros((2, 2)), TypeError, "integers"),
        (np.zeros((1, 2, 2), np.uint32), ValueError, "axes"),
        (np.array([[-1]]), ValueError, "negative"),
        (np.array([[2**32]]), ValueError, "uint32"),
    ],
)
def test_bad_labels_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        measure_cells(labels, lambda _: np.ones((2, 2)), [], 1.0)


@pytest.mark.parametrize("image_mpp", [0, -1, float("nan"), float("inf")])
def test_bad_pixel_sizes_are_refused(image_mpp):
    with pytest.raises(ValueError, match="image_mpp"):
        measure_cells(np.zeros((2, 2), np.uint32), lambda _: np.ones((2, 2)), [], image_mpp)


def test_a_channel_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 2\)"):
        measure_cells(np.ones((2, 2), np.uint32), lambda _: np.ones((2, 3)), ["DNA"], 1.0)
