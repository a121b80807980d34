"""Labels block by block: equal to the whole, with a report of what could not be settled."""

import numpy as np
import pytest
from scipy import ndimage

from cellbatch._native.watershed import find_small_components, renumber
from cellbatch.geometry.blocks import BlockGrid
from cellbatch.postprocessing import deep_watershed
from cellbatch.postprocessing.blocks import BlockOptions, label_by_blocks
from cellbatch.spec import WatershedOptions, Window
from tests.labels_equal import assert_labels_equal

OPTIONS = WatershedOptions(maxima_threshold=0.02, interior_threshold=0.5)


@pytest.fixture(scope="module")
def maps() -> tuple[np.ndarray, np.ndarray]:
    """Smooth maps with some hundred cells."""
    rng = np.random.default_rng(3)
    smooth = [ndimage.gaussian_filter(rng.random((300, 400)), 3) for _ in range(2)]
    inner_distance, interior = ((one - one.min()) / np.ptp(one) for one in smooth)
    return inner_distance.astype(np.float32), interior.astype(np.float32)


@pytest.fixture(scope="module")
def expected(maps: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Labels of the whole."""
    return deep_watershed(*maps, maxima_threshold=0.02, interior_threshold=0.5)


@pytest.mark.parametrize(("core_px", "halo_px", "threads"), [(64, 8, 1), (100, 32, 2), (399, 1, 1), (1000, 64, 4)])
def test_blocks_give_the_labels_of_the_whole(maps, expected, core_px, halo_px, threads):
    labels = np.full(expected.shape, 7, np.uint32)
    report = label_by_blocks(*maps, labels, OPTIONS, BlockOptions(core_px, halo_px, threads=threads))
    assert expected.max() > 100
    assert_labels_equal(labels, expected)
    assert report.blocks == -(-300 // core_px) * -(-400 // core_px)
    assert report.uncertified == ()
    assert not report.is_redone


def test_an_object_of_exactly_the_smallest_size_stays(maps, expected):
    areas = np.bincount(expected.ravel())[1:]
    limit = int(np.median(areas))
    assert (areas == limit).any()
    limited = WatershedOptions(maxima_threshold=0.02, interior_threshold=0.5, small_objects_threshold=limit)
    labels = np.zeros(expected.shape, np.uint32)
    label_by_blocks(*maps, labels, limited, BlockOptions(100, 32))
    assert labels.max() == np.count_nonzero(areas >= limit)


def test_memory_maps_and_zarr_will_do(maps, expected, tmp_path):
    zarr = pytest.importorskip("zarr")
    sources = []
    for name, one in zip(("inner_distance", "interior"), maps, strict=True):
        np.save(tmp_path / f"{name}.npy", one)
        sources.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    labels = zarr.create_array(tmp_path / "labels.zarr", shape=expected.shape, chunks=(64, 64), dtype="uint32")
    label_by_blocks(*sources, labels, OPTIONS, BlockOptions(96, 32, threads=2))
    assert_labels_equal(labels[:], expected)


def test_a_narrow_cap_is_reported_or_the_whole_is_redone(maps, expected):
    labels = np.zeros(expected.shape, np.uint32)
    narrow = BlockOptions(64, 2, halo_cap_px=2, whole_image_px=1)
    report = label_by_blocks(*maps, labels, OPTIONS, narrow)
    assert report.uncertified
    is_certified = np.ones(labels.shape, bool)
    for core in report.uncertified:
        is_certified[core.slices] = False
    # numbers may have moved, but an object that lies in certified blocks alone is the same
    pairs = np.unique(np.stack([labels[is_certified], expected[is_certified]]), axis=1)
    assert len(np.unique(pairs[1])) == pairs.shape[1]
    redone = label_by_blocks(*maps, labels, OPTIONS, BlockOptions(64, 2, halo_cap_px=2))
    assert redone.is_redone
    assert_labels_equal(labels, expected)


def test_ties_over_the_whole_image_are_an_error_where_it_cannot_be_redone():
    rng = np.random.default_rng(0)
    inner_distance = ndimage.gaussian_filter(rng.random((200, 200)), 2).astype(np.float32)
    flat = np.ones((200, 200), np.float32)
    options = WatershedOptions(maxima_threshold=0.02, interior_smooth=0)
    labels = np.zeros((200, 200), np.uint32)
    with pytest.raises(ValueError, match="200x200 px image hang on exact ties"):
        label_by_blocks(inner_distance, flat, labels, options, BlockOptions(64, 16, 32, whole_image_px=100))
    assert label_by_blocks(inner_distance, flat, labels, options, BlockOptions(64, 16, 32)).is_redone
    assert_labels_equal(labels, deep_watershed(inner_distance, flat, maxima_threshold=0.02, interior_smooth=0))


def test_flat_maps_have_no_cells():
    labels = np.ones((50, 60), np.uint32)
    label_by_blocks(np.zeros((50, 60)), np.ones((50, 60)), labels, OPTIONS, BlockOptions(20))
    assert labels.max() == 0


@pytest.mark.parametrize(
    ("shapes", "dtype", "error", "match"),
    [
        (((4, 4), (4, 5), (4, 4)), np.uint32, ValueError, "differ in shape"),
        (((4, 4, 1), (4, 4, 1), (4, 4, 1)), np.uint32, ValueError, r"shape \(Y, X\)"),
        (((4, 4), (4, 4), (4, 4)), np.int32, TypeError, "labels must be uint32, found int32"),
    ],
)
def test_bad_arrays_are_refused(shapes, dtype, error, match):
    inner_distance, interior = (np.zeros(shape, np.float32) for shape in shapes[:2])
    with pytest.raises(error, match=match):
        label_by_blocks(inner_distance, interior, np.zeros(shapes[2], dtype), OPTIONS)


@pytest.mark.parametrize("options", [{"core_px": 0}, {"halo_px": 0}, {"threads": 0}, {"halo_px": 9, "halo_cap_px": 8}])
def test_bad_block_sizes_are_refused(options):
    with pytest.raises(ValueError, match="block sizes must be at least 1 px"):
        BlockOptions(**options)


def test_values_are_checked_block_by_block(maps):
    bad = maps[0].copy()
    bad[250, 390] = np.nan
    with pytest.raises(ValueError, match="inner_distance must hold finite values"):
        label_by_blocks(bad, maps[1], np.zeros(bad.shape, np.uint32), OPTIONS, BlockOptions(64))


def test_cores_partition_the_image():
    for shape, core_px in (((1, 1), 5), ((10, 7), 3), ((64, 65), 64)):
        seen = np.zeros(shape, int)
        for core in BlockGrid(shape, core_px).cores():
            seen[core.slices] += 1
        assert (seen == 1).all()
    assert BlockGrid((10, 10), 4).extend(Window(4, 8, 0, 4), 3) == Window(1, 10, 0, 7)
    with pytest.raises(ValueError, match="at least 1 px"):
        BlockGrid((10, 0), 4)


def test_numbers_are_looked_up_whatever_the_layout_and_never_beyond_the_table():
    labels = np.random.default_rng(0).integers(0, 50, (70, 61)).astype(np.int64)
    numbers = np.random.default_rng(1).integers(0, 2**32, 40, dtype=np.uint32)
    for one in (labels, labels.astype(np.uint32), np.asfortranarray(labels), labels[::2, 1::3]):
        expected = numbers.take(one, mode="clip")
        np.testing.assert_array_equal(renumber(one, numbers), expected)
        np.testing.assert_array_equal(renumber(one.copy(), numbers, is_in_place=True), expected)
    assert renumber(labels[:0], numbers).shape == (0, 61)


def test_small_components_are_those_of_scipy():
    is_open = np.random.default_rng(5).random((83, 97)) > 0.45
    components, _ = ndimage.label(is_open)
    sizes = np.bincount(components.ravel())
    sizes[0] = components.size
    for limit in (1, 2, 7.5, 40):
        np.testing.assert_array_equal(find_small_components(is_open, limit), (sizes < limit)[components])
    assert is_open.any()
