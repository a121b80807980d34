"""Tiling and untiling against deepcell-toolbox's own arrays: every float equal."""

import numpy as np

from cellbatch.geometry.tiles import TileGrid
from cellbatch.inference.blending import blend_tiles, extract_tiles


def test_tiles_are_the_references(tiles_case):
    image = tiles_case["image"]
    tiles = list(extract_tiles(image, TileGrid(image.shape[:2])))
    assert len(tiles) == int(tiles_case["count"])
    np.testing.assert_array_equal(tiles[0], tiles_case["first_tile"], strict=True)
    np.testing.assert_array_equal(tiles[-1], tiles_case["last_tile"], strict=True)


def test_blend_is_the_references(tiles_case):
    image = tiles_case["image"]
    grid = TileGrid(image.shape[:2])
    heads = (np.float32(tile * (1 + k / 32)) for k, tile in enumerate(extract_tiles(image, grid)))
    np.testing.assert_array_equal(blend_tiles(heads, grid), tiles_case["untiled"], strict=True)
