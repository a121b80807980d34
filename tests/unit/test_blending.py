"""From tiles back to one map."""

import numpy as np
import pytest

from cellbatch.geometry.tiles import TileGrid
from cellbatch.inference.blending import blend_tiles, extract_tiles, overlap_window


def test_window_is_a_squared_spline_that_nearly_sums_to_one():
    window = overlap_window(64)
    assert window[0] == pytest.approx((1 / 64) ** 2 / 2 / (1 - 2 / 128**2))
    assert window[-1] == 1
    np.testing.assert_allclose(window + window[::-1], 1 / (1 - 2 / 128**2), rtol=1e-12)
    assert overlap_window(0).shape == (0,)


def test_seams_scale_by_at_most_a_quarter_of_a_permille():
    grid = TileGrid((500, 700))
    heads = np.ones((len(grid), 256, 256, 1), np.float32)
    blended = blend_tiles(heads, grid)
    assert blended.min() == 1
    assert 1.0002 < blended.max() < 1.00025


def test_one_tile_comes_back_without_its_padding():
    image = np.random.default_rng(1).random((63, 101, 2), np.float32)
    grid = TileGrid((63, 101))
    np.testing.assert_array_equal(blend_tiles(extract_tiles(image, grid), grid), image, strict=True)


@pytest.mark.parametrize("shape", [(100, 700), (700, 256)])
def test_the_long_axis_blends_when_the_other_holds_one_tile(shape):
    grid = TileGrid(shape)
    heads = [np.full((256, 256, 1), k, np.float32) for k in range(len(grid))]
    blended = blend_tiles(heads, grid)[..., 0]
    along = blended[0] if shape[0] < shape[1] else blended[:, 0]
    assert (blended == (along[None, :] if shape[0] < shape[1] else along[:, None])).all()
    # no hard seam: the reference would jump by 1 from tile to tile
    assert np.abs(np.diff(along)).max() < 0.04


def test_blend_equals_the_plain_sum_of_weighted_tiles():
    rng = np.random.default_rng(2)
    grid = TileGrid((70, 45), (32, 24), 0.75)
    heads = rng.random((len(grid), 32, 24, 3), np.float32)
    total = np.zeros((*grid.padded_shape, 3))
    for index, window in enumerate(grid.windows()):
        weights = []
        for axis, start, stop in ((0, window.y0, window.y1), (1, window.x0, window.x1)):
            ramp = overlap_window(grid.axes[axis].overlap)
            weight = np.ones(stop - start)
            if start > 0:
                weight[: len(ramp)] = ramp
            if stop < grid.padded_shape[axis]:
                weight[-len(ramp) :] = ramp[::-1]
            weights.append(weight)
        total[window.slices] += heads[index] * np.multiply.outer(*weights)[..., None]
    (top, _), (left, _) = grid.padding
    expected = total[top : top + 70, left : left + 45].astype(np.float32)
    np.testing.assert_array_equal(blend_tiles(heads, grid), expected, strict=True)


def test_tiles_without_overlap_are_laid_side_by_side():
    image = np.random.default_rng(3).random((90, 64, 1), np.float32)
    grid = TileGrid((90, 64), (32, 32), 1.0)
    np.testing.assert_array_equal(blend_tiles(extract_tiles(image, grid), grid), image, strict=True)


@pytest.mark.parametrize("shape", [(300, 300), (64, 64)])
def test_blend_refuses_missing_and_surplus_tiles(shape):
    grid = TileGrid(shape)
    tile = np.zeros((256, 256, 1), np.float32)
    with pytest.raises(ValueError, match=f"heads of {len(grid) - 1} tiles for a grid of {len(grid)}"):
        blend_tiles([tile] * (len(grid) - 1), grid)
    with pytest.raises(ValueError, match=f"more tiles than the {len(grid)}"):
        blend_tiles([tile] * (len(grid) + 1), grid)


def test_blend_refuses_tiles_of_another_shape():
    grid = TileGrid((300, 300))
    tile = np.zeros((256, 256, 1), np.float32)
    with pytest.raises(ValueError, match=r"expected heads of shape \(256, 256, 1\)"):
        blend_tiles([tile, np.zeros((256, 256, 2), np.float32), tile, tile], grid)
    with pytest.raises(ValueError, match=r"expected heads of shape \(256, 256, 'K'\)"):
        blend_tiles([tile[..., 0]] * 4, grid)
