"""Heads by rows of tiles: the same whichever rows are asked for."""

from itertools import pairwise

import numpy as np
import pytest

import cellbatch.inference.tile_rows
from cellbatch.geometry.tiles import TileGrid
from cellbatch.inference.blending import blend_tiles, extract_tile
from cellbatch.inference.tile_rows import TilePredictor, blend_rows, cut_panels, read_band
from cellbatch.inference.tile_window import blend_window
from cellbatch.planning.shards import Shard, count_shards
from cellbatch.spec import Window

TILE = (16, 12)
SHAPES = [(100, 61), (9, 50), (50, 7), (16, 12), (130, 12)]


class Network:
    """Heads that depend on the pixels, and a little on the place of a tile in its call, as real runtimes' do."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        self.calls += 1
        place = 1 + np.arange(len(tiles), dtype=np.float32)[:, None, None, None] / 1000
        return np.concatenate([tiles.sum(axis=-1, keepdims=True) * place, tiles[..., :1] - place], axis=-1)


def draw(shape: tuple[int, int]) -> np.ndarray:
    image = np.random.default_rng(1).random((*shape, 2), np.float32)
    image[: shape[0] // 2, :30] = 0.25
    return image


def run(image: np.ndarray, grid: TileGrid, owned: tuple[int, int], tile_batch: int, padding: str) -> np.ndarray:
    """Heads of the owned rows, put together."""
    panels = cut_panels(grid, range(*grid.touching_rows(*owned)), tile_batch)
    bands = (
        (panel, read_band(grid, panel[0], padding, lambda window: image[window.slices], panel[1])) for panel in panels
    )
    y0, y1 = grid.owned_rows(*owned)
    whole, times = np.zeros((*grid.shape, 2), np.float32), np.zeros(grid.shape, int)
    for part in blend_rows(bands, TilePredictor(Network(), tile_batch), grid, owned):
        whole[part.window.slices] = part.pixels
        times[part.window.slices] += 1
    assert (times[y0:y1] == 1).all()
    assert times.sum() == (y1 - y0) * grid.shape[1]
    return whole[y0:y1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("padding", ["constant", "reflect"])
@pytest.mark.parametrize("fraction", [0.75, 0.3])
def test_bands_hold_the_tiles(shape, padding, fraction):
    image, grid = draw(shape), TileGrid(shape, TILE, fraction)
    columns = grid.axes[1]
    for index in range(len(grid)):
        row, column = divmod(index, columns.count)
        band = read_band(grid, row, padding, lambda window: image[window.slices])
        assert band.shape == (TILE[0], columns.padded_size, 2)
        tile = band[:, column * columns.stride : column * columns.stride + TILE[1]]
        np.testing.assert_array_equal(tile, extract_tile(image, grid, index, padding))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("fraction", [0.75, 0.3])
def test_one_tile_per_call_gives_what_all_tiles_blended_give(shape, fraction):
    image, grid = draw(shape), TileGrid(shape, TILE, fraction)
    network = Network()
    heads = (network(extract_tile(image, grid, index)[np.newaxis])[0] for index in range(len(grid)))
    np.testing.assert_array_equal(run(image, grid, (0, grid.counts[0]), 1, "constant"), blend_tiles(heads, grid))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("tile_batch", [1, 4])
@pytest.mark.parametrize("fraction", [0.75, 0.3])
def test_any_sharding_and_any_panels_give_the_same_bits(shape, tile_batch, fraction, monkeypatch):
    image, grid = draw(shape), TileGrid(shape, TILE, fraction)
    count = grid.counts[0]
    whole = run(image, grid, (0, count), tile_batch, "constant")
    monkeypatch.setattr(cellbatch.inference.tile_rows, "PANEL_PX", 1)
    for pieces in (2, 3, 7):
        ends = sorted({count * index // pieces for index in range(pieces + 1)})
        parts = [run(image, grid, owned, tile_batch, "constant") for owned in pairwise(ends)]
        np.testing.assert_array_equal(np.concatenate(parts), whole, strict=True)


def test_equal_tiles_of_one_value_are_predicted_once():
    grid = TileGrid((100, 100), TILE)
    network = Network()
    image = np.full((100, 100, 2), 0.5, np.float32)
    predictor = TilePredictor(network, 4)
    first = read_band(grid, 0, "reflect", lambda window: image[window.slices])
    tiles = [tile for row in range(3) for tile in predictor.predict_band(first, grid, row)]
    assert network.calls == 1
    assert all(np.array_equal(tile, tiles[0]) for tile in tiles)
    image[0, 0] = 0.75
    band = read_band(grid, 0, "reflect", lambda window: image[window.slices])
    list(predictor.predict_band(band, grid, 0))
    assert network.calls == 2


@pytest.mark.parametrize("pixels", [0, 1, 3000, 10**9])
def test_shards_partition_the_rows_of_tiles(pixels):
    for shape in SHAPES:
        grid = TileGrid(shape, TILE)
        count = count_shards([shape[0] * shape[1], 1], pixels)
        owned = [rows for index in range(count) if (rows := Shard(index, pixels).rows(grid)) is not None]
        assert [row for first, last in owned for row in range(first, last)] == list(range(grid.counts[0]))
        assert Shard(count, pixels).rows(grid) is None
        image_rows = [grid.owned_rows(*rows) for rows in owned]
        assert [y0 for y0, _ in image_rows] == [0, *(y1 for _, y1 in image_rows[:-1])]
        assert image_rows[-1][1] == shape[0]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("tile_batch", [1, 4])
@pytest.mark.parametrize("padding", ["constant", "reflect"])
@pytest.mark.parametrize("fraction", [0.75, 0.3])
def test_a_rectangle_has_the_heads_of_the_whole(shape, tile_batch, padding, fraction):
    image, grid = draw(shape), TileGrid(shape, TILE, fraction)
    whole = run(image, grid, (0, grid.counts[0]), tile_batch, padding)
    rng = np.random.default_rng(5)
    for _ in range(12):
        (y0, y1), (x0, x1) = (sorted(rng.choice(size + 1, 2, replace=False).tolist()) for size in shape)
        window = Window(y0, y1, x0, x1)
        found = blend_window(window, lambda box: image[box.slices], TilePredictor(Network(), tile_batch), grid, padding)
        np.testing.assert_array_equal(found, whole[window.slices], strict=True)


def test_panels_cover_the_rows_and_do_not_split_model_calls(monkeypatch):
    monkeypatch.setattr(cellbatch.inference.tile_rows, "PANEL_PX", 50)
    grid = TileGrid((60, 700), TILE)
    count = grid.counts[1]
    for tile_batch in (1, 4, 7, 100):
        panels = cut_panels(grid, range(3), tile_batch)
        assert [(row, at) for row, span in panels for at in range(*span)] == [
            (row, at) for row in range(3) for at in range(count)
        ]
        inner = [(row, stop) for row, (_, stop) in panels if stop < count]
        assert all((row * count + stop) % tile_batch == 0 for row, stop in inner)
