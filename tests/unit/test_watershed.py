"""The flood and its order of ties."""

import numpy as np
import pytest

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
