"""Tiles of any grid cover the image and blend back to it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cellbatch.geometry.tiles import OUTSIDE, TileGrid
from cellbatch.inference.blending import blend_tiles, extract_tiles, overlap_window

sides = st.integers(1, 150)
tile_sides = st.integers(4, 48)


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    """Small images and tiles with at most half a tile of overlap, as models have."""
    fraction = draw(st.sampled_from([0.5, 0.6, 0.75, 0.9, 1.0]))
    return TileGrid((draw(sides), draw(sides)), (draw(tile_sides), draw(tile_sides)), fraction)


@settings(max_examples=60)
@given(grid=grids(), padding=st.sampled_from(["constant", "reflect"]))
def test_every_pixel_is_in_a_tile_and_every_tile_in_the_padded_image(grid, padding):
    shown = np.zeros(grid.shape, int)
    for index, window in enumerate(grid.windows()):
        assert 0 <= window.y0 < window.y1 <= grid.padded_shape[0]
        assert 0 <= window.x0 < window.x1 <= grid.padded_shape[1]
        rows, columns = grid.source_indices(index, padding)
        assert rows.max() < grid.shape[0]
        assert columns.max() < grid.shape[1]
        shown[np.ix_(rows[rows != OUTSIDE], columns[columns != OUTSIDE])] += 1
    assert (shown > 0).all()
    assert (grid.window(len(grid) - 1).y1, grid.window(len(grid) - 1).x1) == grid.padded_shape


@settings(max_examples=60)
@given(grid=grids(), value=st.floats(-1000, 1000, width=32))
def test_constant_heads_come_back_up_to_the_windows_scale(grid, value):
    heads = np.full((len(grid), *grid.tile_shape, 2), value, np.float32)
    blended = blend_tiles(heads, grid)
    assert blended.shape == (*grid.shape, 2)
    scale = 1.0
    for axis in grid.axes:
        if axis.overlap and axis.count > 1:
            ramp = overlap_window(axis.overlap)
            scale *= (ramp + ramp[::-1]).max()
    lowest, highest = sorted((value, value * scale))
    rounding = 1e-6 * (1 + abs(value))
    np.testing.assert_array_less(lowest - rounding, blended)
    np.testing.assert_array_less(blended, highest + rounding)


@settings(max_examples=40)
@given(grid=grids(), seed=st.integers(0, 2**32 - 1), padding=st.sampled_from(["constant", "reflect"]))
def test_tile_then_blend_is_the_image_up_to_the_windows_scale(grid, seed, padding):
    image = np.random.default_rng(seed).random((*grid.shape, 1), np.float32) + 1
    weight = blend_tiles(np.ones((len(grid), *grid.tile_shape, 1), np.float32), grid)
    blended = blend_tiles(extract_tiles(image, grid, padding), grid)
    np.testing.assert_allclose(blended, image * weight, rtol=3e-7)
