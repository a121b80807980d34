"""The tile grid and the tiles cut with it."""

import numpy as np
import pytest

from cellbatch.geometry.tiles import TileGrid
from cellbatch.inference.blending import extract_tile, extract_tiles
from cellbatch.spec import Window


def ramp(height: int, width: int) -> np.ndarray:
    """Every pixel another value, none of them zero."""
    return np.arange(1, height * width + 1, dtype=np.float32).reshape(height, width, 1)


@pytest.mark.parametrize(
    ("shape", "counts", "padding"),
    [
        ((256, 256), (1, 1), ((0, 0), (0, 0))),
        ((257, 448), (2, 2), ((96, 95), (0, 0))),
        ((449, 513), (3, 3), ((96, 95), (64, 63))),
        ((64, 64), (1, 1), ((96, 96), (96, 96))),
        ((63, 101), (1, 1), ((96, 97), (77, 78))),
        ((100, 300), (1, 2), ((78, 78), (74, 74))),
        ((1, 1000), (1, 5), ((127, 128), (12, 12))),
    ],
)
def test_grid_counts_and_padding(shape, counts, padding):
    grid = TileGrid(shape)
    assert (grid.counts, grid.padding) == (counts, padding)
    last = grid.window(len(grid) - 1)
    assert (last.y1, last.x1) == grid.padded_shape


def test_windows_run_in_raster_order_with_a_stride_of_192():
    assert list(TileGrid((300, 500)).windows())[:4] == [
        Window(0, 256, 0, 256),
        Window(0, 256, 192, 448),
        Window(0, 256, 384, 640),
        Window(192, 448, 0, 256),
    ]


def test_stride_is_rounded_up_to_even_and_at_most_a_tile():
    assert TileGrid((100, 100), (50, 34), 0.75).axes[0].stride == 38
    assert TileGrid((100, 100), (50, 34), 0.75).axes[1].stride == 26
    assert TileGrid((100, 100), (51, 51), 1.0).axes[0].stride == 51


def test_grid_refuses_what_cannot_be_tiled():
    with pytest.raises(ValueError, match="at least 1 px"):
        TileGrid((0, 5))
    with pytest.raises(ValueError, match="stride_fraction"):
        TileGrid((5, 5), stride_fraction=0)
    with pytest.raises(IndexError, match="tile 1 of a grid of 1 tiles"):
        TileGrid((5, 5)).window(1)


@pytest.mark.parametrize("padding", ["constant", "reflect"])
def test_tiles_are_windows_of_the_padded_image(padding):
    image = ramp(300, 500)
    grid = TileGrid(image.shape[:2])
    padded = np.pad(image, (*grid.padding, (0, 0)), mode=padding)
    for window, tile in zip(grid.windows(), extract_tiles(image, grid, padding), strict=True):
        np.testing.assert_array_equal(tile, padded[window.slices], strict=True)


@pytest.mark.parametrize("padding", ["constant", "reflect"])
def test_a_short_axis_is_mirrored_and_the_long_one_tiled(padding):
    image = ramp(200, 300)
    grid = TileGrid(image.shape[:2])
    padded = np.pad(image, ((28, 28), (0, 0), (0, 0)), mode="reflect")
    padded = np.pad(padded, ((0, 0), grid.padding[1], (0, 0)), mode=padding)
    assert len(grid) == 2
    for window, tile in zip(grid.windows(), extract_tiles(image, grid, padding), strict=True):
        np.testing.assert_array_equal(tile, padded[window.slices], strict=True)


def test_a_single_pixel_fills_a_tile():
    tile = extract_tile(np.full((1, 1, 2), 3, np.float32), TileGrid((1, 1)), 0)
    assert tile.shape == (256, 256, 2)
    assert (tile == 3).all()


def test_a_tile_is_a_copy_of_a_read_only_or_strided_image():
    image = ramp(300, 600)[:, ::2]
    image.flags.writeable = False
    grid = TileGrid((300, 300))
    tile = extract_tile(image, grid, 0)
    tile[:] = 0
    np.testing.assert_array_equal(extract_tile(image, grid, 3), extract_tile(image.copy(), grid, 3))
    assert image[0, 0, 0] == 1


def test_tiles_refuse_other_shapes_and_paddings():
    with pytest.raises(ValueError, match=r"expected an image of shape .*300, 300.*found \(300, 301, 1\)"):
        extract_tile(ramp(300, 301), TileGrid((300, 300)), 0)
    with pytest.raises(ValueError, match="constant, reflect, found 'edge'"):
        extract_tile(ramp(300, 300), TileGrid((300, 300)), 0, "edge")
