"""The cells table against scikit-image's measurements."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from skimage.measure import label as connected
from skimage.measure import regionprops_table

from cellbatch.measurement.cells import MeasureOptions, columns_of, measure_blocks, measure_cells, table_frame
from cellbatch.measurement.channels import select_channels
from cellbatch.measurement.columns import SHAPE_COLUMNS, STATISTICS, table_columns, unique_names
from cellbatch.measurement.regions import MeasuredImage, survey_labels

# name there, absolute and relative tolerance
SHAPES = {
    "label": ("label", 0, 0),
    "area": ("area", 0, 0),
    "centroid_y": ("centroid-0", 0, 1e-12),
    "centroid_x": ("centroid-1", 0, 1e-12),
    "bbox_y0": ("bbox-0", 0, 0),
    "bbox_x0": ("bbox-1", 0, 0),
    "bbox_y1": ("bbox-2", 0, 0),
    "bbox_x1": ("bbox-3", 0, 0),
    "major_axis_length": ("axis_major_length", 1e-9, 1e-12),
    # the root of a rounding error, for regions one pixel wide
    "minor_axis_length": ("axis_minor_length", 1e-6, 1e-12),
    "eccentricity": ("eccentricity", 1e-9, 0),
    "orientation": ("orientation", 1e-9, 0),
    "solidity": ("solidity", 0, 1e-15),
    "area_convex": ("area_convex", 0, 0),
    "perimeter": ("perimeter", 1e-12, 1e-12),
    "extent": ("extent", 0, 1e-15),
    "equivalent_diameter": ("equivalent_diameter_area", 0, 1e-15),
    "feret_diameter": ("feret_diameter_max", 0, 1e-15),
}
INTENSITIES = {
    "mean": "intensity_mean",
    "median": "_median",
    "min": "intensity_min",
    "max": "intensity_max",
    "std": "intensity_std",
    "total": "_total",
}


def _median(region: np.ndarray, pixels: np.ndarray) -> float:
    return np.median(pixels[region])


def _total(region: np.ndarray, pixels: np.ndarray) -> float:
    return pixels[region].sum()


def expected_table(labels: np.ndarray, channels: np.ndarray) -> pd.DataFrame:
    properties = {name.split("-")[0] for name, *_ in SHAPES.values()}
    properties |= {name for name in INTENSITIES.values() if not name.startswith("_")}
    return pd.DataFrame(
        regionprops_table(
            labels.astype(np.int64),
            channels.astype(np.float64).transpose(1, 2, 0),
            properties=tuple(properties),
            extra_properties=(_median, _total),
        )
    )


def is_round(labels: np.ndarray) -> np.ndarray:
    """Regions whose ellipse is a circle within the rounding error: their orientation means nothing."""
    table = regionprops_table(labels.astype(np.int64), properties=("inertia_tensor",))
    rows, columns, mixed = (table[f"inertia_tensor-{place}"] for place in ("0-0", "1-1", "0-1"))
    return np.hypot(rows - columns, mixed) < 1e-9 * (rows + columns + 1)


def make_labels(rng: np.random.Generator, shape: tuple[int, int], count: int) -> np.ndarray:
    """Blocks of random labels with gaps in the numbering, some in several pieces."""
    coarse = rng.integers(0, count + 1, (-(-shape[0] // 3), -(-shape[1] // 3)))
    return coarse.repeat(3, 0).repeat(3, 1)[: shape[0], : shape[1]].astype(np.uint32)


def make_blobs(seed: int, shape: tuple[int, int], sigma: float, level: float) -> np.ndarray:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return connected(field > level * field.std()).astype(np.uint32)


@pytest.fixture(scope="module")
def measured() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Tables of round, ragged, branched, hollow and tiny regions, found and expected."""
    rng = np.random.default_rng(0)
    fields = [
        make_blobs(seed, (100, 110), *how) for seed, how in enumerate([(0.6, 0.3), (1.5, 0.4), (4, 0), (3, -0.4)])
    ]
    found, expected, round_ones = [], [], []
    for labels in [*fields, make_labels(rng, (60, 50), 9)]:
        channels = rng.integers(0, 60_000, (2, *labels.shape)).astype(np.uint16)
        found.append(measure_cells(labels, channels.__getitem__, ["c0", "c1"], 0.5))
        expected.append(expected_table(labels, channels))
        round_ones.append(is_round(labels))
    return pd.concat(found), pd.concat(expected), np.concatenate(round_ones)


@pytest.mark.parametrize("column", SHAPES)
def test_shapes_equal_scikit_image(column, measured):
    found, expected, round_ones = measured
    name, absolute, relative = SHAPES[column]
    chosen = ~round_ones if column == "orientation" else np.ones(len(found), bool)
    assert chosen.sum() > 200
    assert_allclose(found[column][chosen], expected[name][chosen], rtol=relative, atol=absolute)


@pytest.mark.parametrize("statistic", INTENSITIES)
def test_intensities_equal_scikit_image(statistic, measured):
    found, expected, _ = measured
    for place in range(2):
        assert_allclose(
            found[f"{statistic}_c{place}"], expected[f"{INTENSITIES[statistic]}-{place}"], rtol=1e-12, atol=1e-12
        )


def test_columns_that_scikit_image_does_not_have(measured):
    found, expected, _ = measured
    assert_allclose(found["area_um2"], expected["area"] / 4)
    assert_allclose(found["centroid_y_um"], expected["centroid-0"] / 2)
    assert_allclose(found["centroid_x_um"], expected["centroid-1"] / 2)
    perimeter = expected["perimeter"].to_numpy()
    has_one = perimeter > 0
    assert_allclose(found["circularity"][has_one], (4 * np.pi * expected["area"] / perimeter**2)[has_one])
    assert np.isnan(found["circularity"][~has_one]).all()
    assert (~has_one).any()


def measured_image(labels, channels, nuclei=None, counts=None) -> MeasuredImage:
    return MeasuredImage(
        shape=labels.shape,
        image_mpp=0.5,
        channel_names=tuple(f"c{place}" for place in range(len(channels))),
        read_labels=lambda window: labels[window.slices],
        read_channel=lambda position, window: channels[position][window.slices],
        read_nuclei=None if nuclei is None else lambda window: nuclei[window.slices],
        nucleus_counts=counts,
    )


def measure_in_blocks(image: MeasuredImage, options: MeasureOptions) -> pd.DataFrame:
    survey = survey_labels(image, options.block_px)
    columns = columns_of(image)
    values = np.full((len(survey.labels), len(columns)), -1.0)
    times = np.zeros(len(values), int)
    for block in measure_blocks(image, survey, options):
        values[block.rows] = block.values
        times[block.rows] += 1
    assert_array_equal(times, 1)
    return table_frame(columns, values)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    count=st.integers(1, 60),
    dtype=st.sampled_from(["uint8", "int8", "int16", "uint16", "i8", "f2", "float32", "float64", ">f4", "bool"]),
    block_px=st.integers(2, 60),
    longest_px=st.integers(1, 60),
)
def test_blocks_and_giants_equal_the_whole(seed, shape, count, dtype, block_px, longest_px):
    rng = np.random.default_rng(seed)
    labels = make_labels(rng, shape, count) if seed % 2 else make_blobs(seed, shape, 2, 0.3)
    labels = np.minimum(labels, labels.size).astype(np.uint32)
    nuclei = np.where(rng.random(shape) < 0.5, labels, 0)
    nuclei = np.where(nuclei > 0, np.roll(nuclei, 1, axis=1), 0)
    channels = ((rng.random((2, *shape)) - 0.3) * 120).astype(dtype)
    whole = measure_cells(labels, channels.__getitem__, ["c0", "c1"], 0.5, nuclei=nuclei)
    found = measure_in_blocks(measured_image(labels, channels, nuclei), MeasureOptions(block_px, longest_px, 2))
    assert list(found) == list(whole)
    for column in whole:
        assert_allclose(found[column], whole[column], rtol=1e-12, atol=1e-11, err_msg=column)


def test_nuclei_and_cytoplasm():
    labels = np.zeros((8, 12), np.uint32)
    labels[1:5, 1:5], labels[1:5, 6:10], labels[6:8, 0:3] = 1, 2, 3
    nuclei = np.zeros_like(labels)
    nuclei[2:4, 2:4], nuclei[0:3, 7:9] = 1, 2
    channel = np.arange(96.0).reshape(8, 12)
    table = measure_in_blocks(
        measured_image(labels, channel[None], nuclei, np.array([2, 1, 0])), MeasureOptions()
    ).set_index("label")
    assert table["nucleus_count"].tolist() == [2, 1, 0]
    assert table["nucleus_area"].tolist() == [4, 6, 0]
    assert table["nucleus_area_um2"].tolist() == [1, 1.5, 0]
    assert table["n_c_ratio"].tolist() == [4 / 16, 6 / 16, 0]
    for label in (1, 2):
        assert table.loc[label, "mean_c0"] == channel[labels == label].mean()
        assert table.loc[label, "nuclear_median_c0"] == np.median(channel[nuclei == label])
        assert table.loc[label, "cytoplasm_total_c0"] == channel[(labels == label) & (nuclei != label)].sum()
    assert np.isnan(table.loc[3, "nuclear_mean_c0"])
    assert table.loc[3, "nuclear_total_c0"] == 0
    assert table.loc[3, "cytoplasm_mean_c0"] == table.loc[3, "mean_c0"]


def test_nuclei_of_sparse_labels():
    labels = np.zeros((4, 5), np.uint32)
    labels[:2], labels[3] = 4_000_000_000, 7
    nuclei = np.zeros_like(labels)
    nuclei[0, 1:3], nuclei[3, 0], nuclei[2, 2] = 4_000_000_000, 7, 9
    table = measure_cells(labels, lambda _: np.ones((4, 5)), ["a"], 1.0, nuclei=nuclei)
    assert table["nucleus_area"].tolist() == [1, 2]


def test_columns_and_types():
    labels = np.zeros((6, 9), np.uint32)
    labels[1:3, 2:5] = 1
    labels[4, 8] = 2
    table = measure_cells(labels, lambda _: np.arange(54.0).reshape(6, 9), ["DNA"], 0.25)
    columns = table_columns(["DNA"], has_nuclei=False)
    assert {name: str(table[name].dtype) for name in table} == {column.name: column.dtype for column in columns}
    assert [column.name for column in columns[: len(SHAPE_COLUMNS)]] == [column.name for column in SHAPE_COLUMNS]
    assert [f"{statistic}_DNA" for statistic in STATISTICS] == [column.name for column in columns[-6:]]
    row = table.loc[0]
    assert row[["label", "area", "area_um2", "centroid_y", "centroid_x"]].tolist() == [1, 6, 6 / 16, 1.5, 3]
    assert row[["bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1"]].tolist() == [1, 2, 3, 5]
    assert row[["mean_DNA", "median_DNA", "min_DNA", "max_DNA", "total_DNA"]].tolist() == [16.5, 16.5, 11, 22, 99]
    assert table.loc[1, "mean_DNA"] == 44


def test_image_without_cells_gives_an_empty_table_with_all_columns():
    table = measure_cells(np.zeros((5, 7), np.uint32), lambda _: np.ones((5, 7)), ["DNA"], 1.0)
    assert len(table) == 0
    columns = table_columns(["DNA"], has_nuclei=False)
    assert {name: str(table[name].dtype) for name in table} == {column.name: column.dtype for column in columns}


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


def test_a_label_above_the_number_of_pixels_is_refused_in_blocks():
    with pytest.raises(ValueError, match="label 9 in an image"):
        survey_labels(measured_image(np.full((2, 2), 9, np.uint32), np.ones((1, 2, 2))))


@pytest.mark.parametrize(("wanted", "expected"), [([], [0, 1, 2]), (["CD8", "0"], [2, 0]), (["1"], [1]), (["2"], [1])])
def test_channels_to_measure(wanted, expected):
    names = ["DAPI", "2" if wanted == ["2"] else "CD4", "CD8"]
    assert select_channels(wanted, names) == expected


@pytest.mark.parametrize("wanted", [["CD20"], ["CD8", "CD8"], ["CD8", "2"], ["3"]])
def test_channels_that_cannot_be_measured(wanted):
    with pytest.raises(ValueError, match=r"to be measured .*; channels are 0 DAPI, 1 CD4, 2 CD8"):
        select_channels(wanted, ["DAPI", "CD4", "CD8"])
