"""Markers, object clean-up and deep_watershed as a whole."""

import numpy as np
import pytest
from scipy import ndimage

from cellbatch._native import watershed as native
from cellbatch._native.library import BUILDS, load_library
from cellbatch._native.watershed import KernelOptions
from cellbatch.postprocessing import deep_watershed
from tests.labels_equal import assert_contiguous, assert_labels_equal
from tests.reference import maxima as reference
from tests.reference.maxima import disk
from tests.reference.objects import drop_small_objects, euler_numbers, fill_holes, renumber

LABEL_MAXIMA = (native.label_maxima, reference.label_maxima)


def draw_cells(shape: tuple[int, int], centres: list[tuple[int, int]], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Inner distance and interior of round cells."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.min([np.hypot(y - cy, x - cx) for cy, cx in centres], axis=0)
    inner_distance = (1 / (1 + 0.1 * distance)).astype(np.float32)
    return inner_distance, (distance < radius).astype(np.float32)


def grid_of(text: str) -> np.ndarray:
    """Label image from one digit per pixel."""
    return np.array([[int(digit) for digit in line] for line in text.split()], np.int32)


def test_two_touching_cells_are_told_apart():
    labels = deep_watershed(*draw_cells((40, 60), [(20, 20), (20, 38)], 11), maxima_threshold=0.1)
    assert_contiguous(labels)
    assert labels.shape == (40, 60)
    assert (labels[20, 20], labels[20, 38], labels[0, 0]) == (1, 2, 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (300, 3)])
def test_thin_maps(shape):
    rng = np.random.default_rng(0)
    labels = deep_watershed(
        rng.random(shape), rng.random(shape), maxima_threshold=0.1, interior_smooth=0, small_objects_threshold=0
    )
    assert labels.shape == shape
    assert_contiguous(labels)


@pytest.mark.parametrize("level", [0, 0.5, -3])
def test_flat_maps_have_no_cells(level):
    flat = np.full((30, 40), level, np.float32)
    labels = deep_watershed(flat, np.ones_like(flat), maxima_threshold=0.1)
    assert_labels_equal(labels, np.zeros((30, 40), np.uint32))


def test_nothing_inside_means_no_cells():
    inner_distance, interior = draw_cells((40, 40), [(20, 20)], 9)
    assert deep_watershed(inner_distance, np.zeros_like(interior), maxima_threshold=0.1).max() == 0


def test_layout_dtype_and_flags_of_the_maps_do_not_matter():
    rng = np.random.default_rng(1)
    maps = [ndimage.gaussian_filter(rng.random((60, 80)), 2).astype(np.float32) * 5 for _ in range(2)]
    options = {"maxima_threshold": 0.05, "interior_threshold": 2.5}
    expected = deep_watershed(*maps, **options)
    assert expected.max() > 3
    views = [np.asfortranarray(one) for one in maps]
    for view in views:
        view.flags.writeable = False
    assert_labels_equal(deep_watershed(*views, **options), expected)
    assert_labels_equal(deep_watershed(*[np.repeat(one, 2, axis=1)[:, ::2] for one in maps], **options), expected)
    assert_labels_equal(deep_watershed(*[one.astype(float) for one in maps], **options), expected)
    assert_labels_equal(deep_watershed(*[one.tolist() for one in maps], **options), expected)


@pytest.mark.parametrize("threads", [None, 1, 7])
def test_threads_do_not_change_labels(threads):
    maps = draw_cells((40, 60), [(20, 20), (20, 38)], 11)
    assert_labels_equal(
        deep_watershed(*maps, maxima_threshold=0.1, threads=threads), deep_watershed(*maps, maxima_threshold=0.1)
    )


def test_thresholds_are_compared_in_float32():
    inner_distance, interior = draw_cells((40, 40), [(20, 20)], 9)
    interior *= np.float32(0.2)
    options = {"maxima_threshold": 0.1, "interior_smooth": 0}
    # float32(0.2) lies above 0.2, yet is not above the threshold rounded to float32
    assert deep_watershed(inner_distance, interior, interior_threshold=0.2, **options).max() == 0
    assert deep_watershed(inner_distance, interior, interior_threshold=0.19, **options).max() == 1


def test_small_objects_and_holes_go_by_their_thresholds():
    inner_distance, interior = draw_cells((60, 60), [(15, 15), (40, 40)], 9)
    interior[40, 44] = 0
    interior[15 - 12 : 15 + 12] *= np.hypot(*np.mgrid[-12:12, -15:45]) < 2
    options = {"maxima_threshold": 0.1, "interior_smooth": 0}
    assert np.bincount(deep_watershed(inner_distance, interior, **options).ravel()).size == 2
    kept = deep_watershed(inner_distance, interior, small_objects_threshold=0, fill_holes_threshold=0, **options)
    assert kept.max() == 2
    assert kept[40, 44] == 0
    assert deep_watershed(inner_distance, interior, **options)[40, 44] == 1


@pytest.mark.parametrize(
    ("inner_distance", "interior", "error", "match"),
    [
        (np.zeros((4, 4)), np.zeros((4, 5)), ValueError, "differ in shape"),
        (np.zeros((4, 4, 1)), np.zeros((4, 4, 1)), ValueError, r"inner_distance must have the shape \(Y, X\)"),
        (np.zeros((0, 4)), np.zeros((0, 4)), ValueError, "at least 1 px"),
        (np.zeros((4, 4)), np.full((4, 4), np.nan), ValueError, "interior must hold finite values"),
        (np.full((4, 4), -np.inf, np.float32), np.zeros((4, 4)), ValueError, "inner_distance must hold finite"),
        (np.full((4, 4), 3e38, np.float32), np.zeros((4, 4)), ValueError, "inner_distance must hold finite"),
        (np.zeros((4, 4), complex), np.zeros((4, 4)), TypeError, "real numbers, found dtype complex128"),
        (np.zeros((4, 4)), np.full((4, 4), "a"), TypeError, "interior must hold real numbers"),
    ],
)
def test_bad_maps_are_refused(inner_distance, interior, error, match):
    with pytest.raises(error, match=match):
        deep_watershed(inner_distance, interior, maxima_threshold=0.1)


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("maxima_threshold", -0.1, ValueError),
        ("maxima_threshold", 0, ValueError),
        ("maxima_threshold", float("nan"), ValueError),
        ("maxima_threshold", "0.1", TypeError),
        ("interior_threshold", float("inf"), ValueError),
        ("interior_threshold", None, TypeError),
        ("maxima_smooth", -1, ValueError),
        ("interior_smooth", 1e7, ValueError),
        ("interior_smooth", -1, ValueError),
        ("radius", -1, ValueError),
        ("radius", 1.5, TypeError),
        ("small_objects_threshold", -1, ValueError),
        ("fill_holes_threshold", -1, ValueError),
        ("fill_holes_threshold", True, TypeError),
        ("threads", 0, ValueError),
        ("threads", 2.0, TypeError),
    ],
)
def test_bad_options_are_refused(option, value, error):
    options = {"maxima_threshold": 0.1, option: value}
    with pytest.raises(error, match=option):
        deep_watershed(np.zeros((4, 4)), np.zeros((4, 4)), **options)


def test_disk_holds_pixels_within_the_radius():
    assert disk(0).tolist() == [[True]]
    assert disk(1).sum() == 5
    assert disk(2).sum() == 13
    assert disk(10).shape == (21, 21)


@pytest.mark.parametrize("label_maxima", LABEL_MAXIMA)
def test_maxima_need_the_height_and_are_numbered_by_first_pixel(label_maxima):
    maxima = np.zeros((20, 40), np.float32)
    maxima[15, 5], maxima[4, 20], maxima[10, 35] = 1, 0.5, 0.05
    markers = label_maxima(maxima, 0.1, 2)
    assert markers.max() == 2
    assert (markers[4, 20], markers[15, 5], markers[10, 35]) == (1, 2, 0)


@pytest.mark.parametrize("label_maxima", LABEL_MAXIMA)
def test_a_map_flatter_than_the_threshold_has_no_maxima(label_maxima):
    maxima = np.zeros((9, 9), np.float32)
    maxima[4, 4] = 0.25
    assert label_maxima(maxima, 0.25, 2).max() == 1
    assert label_maxima(maxima, 0.2500001, 2).max() == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("111 101 111", 0),
        ("111 111 111", 1),
        ("101 000 101", 4),
        ("100 010 001", 1),
        ("010 101 010", 0),
        ("11111 10101 11111", -1),
        ("1", 1),
    ],
)
def test_euler_number_is_pieces_minus_holes(text, expected):
    assert euler_numbers(grid_of(text))[1] == expected


def test_euler_numbers_of_neighbours_are_apart():
    labels = grid_of("1112 1212 1112 3333")
    assert euler_numbers(labels)[1:].tolist() == [0, 2, 1]


def test_drop_small_objects_counts_pixels_of_a_label():
    labels = grid_of("1102 1000 0033")
    assert drop_small_objects(labels, 2).tolist() == grid_of("1100 1000 0033").tolist()
    assert drop_small_objects(labels, 3).max() == 1
    assert drop_small_objects(labels, 0).tolist() == labels.tolist()


def test_holes_at_the_edge_of_the_box_and_with_neighbours_inside_are_filled():
    # label 1 has one true hole; so its box is looked at, and the corner and the neighbour 2 go too
    labels = grid_of("01111 11011 11111 11121")
    assert fill_holes(labels, 2).tolist() == np.ones((4, 5), int).tolist()
    # without a true hole nothing is filled
    whole = grid_of("01111 11111 11121")
    assert fill_holes(whole, 2).tolist() == whole.tolist()
    assert fill_holes(labels, 0).tolist() == labels.tolist()
    assert fill_holes(labels, 1).tolist() == labels.tolist()


def test_holes_are_four_connected_and_earlier_fills_count():
    diagonal = grid_of("11111 10111 11011 11111")
    assert fill_holes(diagonal, 2).tolist() == np.ones((4, 5), int).tolist()
    nested = grid_of("1111111 1222221 1230321 1222221 1111111")
    # 1 is left with its hole of 15 px, 2 fills the 3 px in its middle, so 3 is gone
    assert fill_holes(nested, 4).tolist() == grid_of("1111111 1222221 1222221 1222221 1111111").tolist()
    # 1 takes all within it; then 2, judged by the Euler number from before, finds its whole box to be a hole
    assert fill_holes(nested, 16).tolist() == grid_of("1111111 1222221 1222221 1222221 1111111").tolist()
    alone = grid_of("1111111 1222221 1222221 1222221 1111111")
    assert fill_holes(alone, 16).tolist() == np.ones((5, 7), int).tolist()


def test_renumber_closes_gaps_in_order():
    labels = grid_of("0305 7500")
    assert_labels_equal(renumber(labels), grid_of("0102 3200").astype(np.uint32))
    assert renumber(np.zeros((2, 2), np.int32)).max() == 0


@pytest.mark.parametrize(("small", "holes"), [(0, 0), (2, 0), (0, 2), (3, 4), (0, 16)])
def test_native_clean_up_equals_the_steps(small, holes):
    for text in (
        "01111 11011 11111 11121",
        "1111111 1222221 1230321 1222221 1111111",
        "11111 10111 11011 11111",
        "0305 7500",
        "1",
        "0",
        "1101",
    ):
        labels = grid_of(text)
        expected = renumber(fill_holes(drop_small_objects(labels, small), holes))
        assert_labels_equal(native.clean(labels, small, holes), expected)


@pytest.mark.parametrize("build", BUILDS)
def test_every_build_gives_the_same_labels(build):
    library = load_library("plain")
    if library.x86_64_level() < BUILDS[build]:
        pytest.skip("the processor does not run this build")
    rng = np.random.default_rng(5)
    maps = [ndimage.gaussian_filter(rng.random((90, 110)), 2).astype(np.float32) * 5 for _ in range(2)]
    options = KernelOptions(0.05, 2.5, 1, 2, 2, 15, 15, build=build)
    assert_labels_equal(
        native.label_map(*maps, options)[0],
        deep_watershed(*maps, maxima_threshold=0.05, interior_threshold=2.5, maxima_smooth=1),
    )


def test_kernels_that_were_not_built_are_named():
    with pytest.raises(ImportError, match="no other build of the native kernels"):
        load_library("other")
