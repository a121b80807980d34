"""The flood and its order of ties."""

import numpy as np
import pytest
from scipy import ndimage

from cellbatch._native import watershed as native
from tests.labels_equal import assert_labels_equal
from tests.reference import flooding
from tests.reference.flooding import flood, flood_by_heap


def flood_natively(surface: np.ndarray, markers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return native.flood(surface, markers, mask)[0]


def flood_by_native_heap(surface: np.ndarray, markers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return native.flood(surface, markers, mask, is_heap_forced=True)[0]


FLOODS = (flood, flood_by_heap, flood_natively, flood_by_native_heap)


def row(*values: float) -> np.ndarray:
    """A surface of one row."""
    return np.array([values], np.float32)


@pytest.mark.parametrize("flooded_by", FLOODS)
def test_labels_meet_on_the_ridge(flooded_by):
    surface = row(0, 1, 5, 2, 0)
    markers = np.array([[1, 0, 0, 0, 2]], np.int32)
    labels = flooded_by(surface, markers, np.ones((1, 5), bool))
    assert labels.dtype == np.int32
    assert labels.tolist() == [[1, 1, 1, 2, 2]]


@pytest.mark.parametrize("flooded_by", FLOODS)
def test_ties_go_to_the_marker_that_reached_them_first(flooded_by):
    markers = np.array([[1, 0, 0, 0, 0, 2]], np.int32)
    assert flooded_by(row(0, 0, 0, 0, 0, 0), markers, np.ones((1, 6), bool)).tolist() == [[1, 1, 1, 2, 2, 2]]


@pytest.mark.parametrize(("start", "middle"), [(0.5, 1), (-0.5, 2)])
def test_a_pool_entered_at_one_level_from_both_sides_is_shared(start, middle):
    # both passes have height 5; the one that the lower marker queued is taken first, then pixels in turn
    surface, markers = row(0, 5, 2, 1, 2, 5, start), np.array([[1, 0, 0, 0, 0, 0, 2]], np.int32)
    mask = np.ones(surface.shape, bool)
    for flooded_by in FLOODS:
        assert flooded_by(surface, markers, mask).tolist() == [[1, 1, 1, middle, 2, 2, 2]]
    assert native.flood(surface, markers, mask)[1] == 0


@pytest.mark.parametrize("flooded_by", FLOODS)
def test_what_higher_ground_queued_is_taken_before_a_pool_of_its_level(flooded_by):
    # pixel 3 may follow 2 or 4, both taken at level 5: 4 was queued by its marker, 2 in the pool behind pixel 1
    surface, markers = row(0, 5, 3, 6, 5, 1), np.array([[1, 0, 0, 0, 0, 2]], np.int32)
    assert flooded_by(surface, markers, np.ones((1, 6), bool)).tolist() == [[1, 1, 1, 2, 2, 2]]


def test_chance_ties_of_a_smooth_map_need_no_heap():
    undecided = 0
    for seed in range(12):
        rng = np.random.default_rng([seed, 14])
        noise = ndimage.gaussian_filter(rng.random((300, 300)), 3)
        surface = (np.round((noise - noise.min()) / np.ptp(noise) * 2**14) / 2**14).astype(np.float32)
        markers = np.zeros(surface.shape, np.int32)
        # which of two markers of one height is taken first hangs on all others
        places = np.unique(surface, return_index=True)[1]
        markers.flat[rng.choice(places, 300, replace=False)] = np.arange(1, 301)
        labels, ties = native.flood(surface, markers, surface < 0.9)
        assert_labels_equal(labels, flood(surface, markers, surface < 0.9))
        undecided += ties
    assert undecided == 0


@pytest.mark.parametrize("flooded_by", FLOODS)
def test_mask_stops_the_flood_and_drops_markers_outside(flooded_by):
    markers = np.array([[1, 0, 0, 0, 2, 0]], np.int32)
    mask = np.array([[True, True, False, True, False, True]])
    assert flooded_by(row(0, 0, 0, 0, 0, 0), markers, mask).tolist() == [[1, 1, 0, 0, 0, 0]]


@pytest.mark.parametrize("flooded_by", FLOODS)
def test_flood_crosses_sides_but_not_corners(flooded_by):
    markers = np.array([[1, 0], [0, 0]], np.int32)
    mask = np.array([[True, False], [False, True]])
    assert flooded_by(np.zeros((2, 2), np.float32), markers, mask).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("flooded_by", FLOODS)
def test_a_marker_off_the_minimum_keeps_its_level(flooded_by):
    # marker 1 sits on a slope of height 4 and drains into the pit on its right; 2 cannot take it over the ridge
    surface = row(4, 0, 0, 3, 0)
    markers = np.array([[1, 0, 0, 0, 2]], np.int32)
    assert flooded_by(surface, markers, np.ones((1, 5), bool)).tolist() == [[1, 2, 2, 2, 2]]


def test_labels_do_not_depend_on_whether_scikit_image_is_trusted(monkeypatch):
    rng = np.random.default_rng(0)
    surface = rng.integers(0, 4, (40, 50)).astype(np.float32)
    markers = np.where(rng.random((40, 50)) < 0.03, rng.integers(1, 9, (40, 50)), 0).astype(np.int32)
    mask = rng.random((40, 50)) < 0.9
    expected = flood(surface, markers, mask)
    monkeypatch.setattr(flooding, "_is_installed_watershed_exact", lambda: False)
    assert_labels_equal(flood(surface, markers, mask), expected)


def test_a_watershed_with_other_ties_is_found_out(monkeypatch):
    def settle_ties_the_other_way(surface, markers, mask):
        turned = flood_by_heap(surface[::-1, ::-1], markers[::-1, ::-1], mask[::-1, ::-1])
        return turned[::-1, ::-1]

    flooding._is_installed_watershed_exact.cache_clear()
    monkeypatch.setattr(flooding, "watershed", settle_ties_the_other_way)
    assert not flooding._is_installed_watershed_exact()
    flooding._is_installed_watershed_exact.cache_clear()
    monkeypatch.setattr(flooding, "watershed", flood_by_heap)
    assert flooding._is_installed_watershed_exact()
    flooding._is_installed_watershed_exact.cache_clear()


def test_ties_between_labels_are_counted_and_others_are_not():
    everywhere = np.ones((1, 5), bool)
    markers = np.array([[1, 0, 0, 0, 2]], np.int32)
    assert native.flood(row(0, 0, 0, 0, 0), markers, everywhere)[1] > 0
    assert native.flood(row(0, 1, 5, 2, 0), markers, everywhere)[1] == 0
    # both neighbours of the ridge lie equally high, but the left one was queued first, from the lower pixel
    assert native.flood(row(0, 1, 5, 1, 0.5), markers, everywhere)[1] == 0
