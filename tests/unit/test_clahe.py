"""Bins, histogram clipping, maps and their interpolation."""

import numpy as np
import pytest

from cellbatch.preprocessing.clahe import TileRow, bin_channel, clahe_tile, equalization_maps, interpolate_maps
from cellbatch.spec import Window
from tests.reference.clahe import clip_histogram


def test_bins_run_from_0_to_252():
    channel = np.linspace(-3, 5, 2000, dtype=np.float32).reshape(40, 50)
    bins = bin_channel(channel, channel.min(), channel.max())
    assert bins.dtype == np.uint8
    assert (bins[0, 0], bins[-1, -1]) == (0, 252)
    assert (np.diff(bins.ravel().astype(int)) >= 0).all()


def test_pixels_outside_the_measured_range_are_refused():
    channel = np.array([[0, 11]], np.float32)
    with pytest.raises(ValueError, match="do not belong to a channel of"):
        bin_channel(channel, np.float32(0), np.float32(10))
    with pytest.raises(ValueError, match="do not belong to a channel of"):
        bin_channel(channel, np.float32(1), np.float32(11))


@pytest.mark.parametrize("limit", [5, 40, 163])
def test_clipping_keeps_the_limit_and_nearly_the_total(limit):
    rng = np.random.default_rng(0)
    histogram = np.bincount((rng.normal(60, 3, 3000) % 256).astype(int), minlength=256)
    given = histogram.copy()
    clipped = clip_histogram(histogram, limit)
    np.testing.assert_array_equal(histogram, given)
    assert clipped.max() <= limit
    assert min(3000, limit * 256) <= clipped.sum() <= 3256


def test_clipping_leaves_a_flat_histogram_alone_and_stops_when_all_is_full():
    flat = np.full(256, 10)
    np.testing.assert_array_equal(clip_histogram(flat, 10), flat)
    np.testing.assert_array_equal(clip_histogram(np.full(256, 12), 10), flat)


def test_excess_is_spread_evenly_over_bins_with_room():
    histogram = np.zeros(256, np.int64)
    histogram[100] = 600
    clipped = clip_histogram(histogram, 20)
    # 580 over 256 bins: 2 each, but not to the full one; 70 are left for 255 bins, so every third one gets a count
    expected = np.full(256, 2)
    expected[::3] = 3
    expected[100] = 20
    np.testing.assert_array_equal(clipped, expected)


def test_maps_rise_to_the_top_level_and_complete_partial_tiles():
    bins = np.random.default_rng(1).integers(0, 253, (70, 40)).astype(np.uint8)
    maps = equalization_maps(bins, (32, 32))
    assert maps.shape == (3, 2, 256)
    assert maps.dtype == np.uint16
    assert (maps[..., -1] == 16383).all()
    assert (np.diff(maps.astype(int), axis=-1) >= 0).all()
    mirrored = np.pad(bins, ((0, 26), (0, 24)), mode="reflect")
    np.testing.assert_array_equal(maps, equalization_maps(mirrored, (32, 32)))


def test_between_tile_centres_the_maps_are_mixed():
    maps = np.zeros((2, 2, 256), np.uint16)
    maps[0, 0], maps[0, 1], maps[1, 0], maps[1, 1] = 0, 800, 1600, 2400
    bins = np.zeros((16, 16), np.uint8)
    levels = interpolate_maps(bins, maps, (8, 8), Window(0, 16, 0, 16))
    assert levels[0, 0] == 0
    assert levels[15, 15] == 2400
    assert levels[4, 8] == 400
    assert levels[8, 4] == 800
    assert levels[8, 8] == 1200


@pytest.mark.parametrize("tile", [(1, 1), (2, 2), (7, 7), (16, 16), (64, 64), (4, 6), (70, 3)])
def test_any_rectangle_equals_the_whole(tile):
    bins = np.random.default_rng(2).integers(0, 253, (37, 50)).astype(np.uint8)
    maps = equalization_maps(bins, tile)
    whole = interpolate_maps(bins, maps, tile, Window(0, 37, 0, 50))
    for window in (Window(0, 1, 0, 1), Window(36, 37, 0, 50), Window(5, 30, 13, 14), Window(9, 37, 17, 50)):
        part = interpolate_maps(bins[window.slices], maps, tile, window)
        np.testing.assert_array_equal(part, whole[window.slices], strict=True)


def test_a_kernel_of_none_is_an_eighth_of_each_axis():
    assert clahe_tile(None, (1000, 515)) == (125, 64)
    assert clahe_tile(None, (7, 16)) == (1, 2)
    assert clahe_tile(128, (1000, 515)) == (128, 128)


def test_rows_of_a_tile_may_come_in_any_pieces():
    bins = np.random.default_rng(3).integers(0, 253, (48, 50)).astype(np.uint8)
    row, expected = TileRow(50, (24, 7)), equalization_maps(bins, (24, 7))
    for index in range(2):
        for y0, y1 in ((0, 5), (5, 6), (6, 24)):
            row.add(bins[24 * index + y0 : 24 * index + y1])
        np.testing.assert_array_equal(row.finish(), expected[index], strict=True)
