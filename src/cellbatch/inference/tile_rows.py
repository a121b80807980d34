"""Heads of an image of any size, a row of tiles after the other, whichever rows are asked for."""

import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from cellbatch.geometry.tiles import OUTSIDE, TileGrid
from cellbatch.inference.blending import Blender, FinishedPart
from cellbatch.spec import Window

Pixels = NDArray[np.float32]
Read = Callable[[Window], Pixels]
Predict = Callable[[Pixels], Pixels]
# a row of tiles, and which columns of tiles (half-open) of it
Panel = tuple[int, tuple[int, int]]
# px of a row of tiles that are read at once
PANEL_PX = 4096
# distinct constant tiles whose heads are kept
MOST_CONSTANTS = 64


def read_band(
    grid: TileGrid, row: int, padding: str, read: Read, tile_columns: tuple[int, int] | None = None
) -> Pixels:
    """Pixels that one row of tiles shows, padded as the tiles are.

    Parameters
    ----------
    grid : where the tiles lie
    row : row of tiles
    padding : ``constant`` or ``reflect``, see ``TileGrid.source_indices``
    read : gives the pixels (y, x, C) of a rectangle of the image
    tile_columns : columns of tiles (half-open) that are wanted; all by default

    Returns
    -------
    ndarray of float32, shape (tile height, padded width, C)
    """
    rows, columns = grid.axes
    start, stop = tile_columns or (0, columns.count)
    down = rows.source_indices(row * rows.stride, row * rows.stride + rows.tile, padding)
    across = columns.source_indices(start * columns.stride, (stop - 1) * columns.stride + columns.tile, padding)
    inside, seen = down[down != OUTSIDE], across[across != OUTSIDE]
    if not (len(inside) and len(seen)):
        return np.zeros((rows.tile, len(across), read(Window(0, 1, 0, 1)).shape[2]), np.float32)
    y0, x0 = int(inside.min()), int(seen.min())
    pixels = read(Window(y0, int(inside.max()) + 1, x0, int(seen.max()) + 1))
    band = pixels.take(np.where(down == OUTSIDE, 0, down - y0), axis=0)
    band = band.take(np.where(across == OUTSIDE, 0, across - x0), axis=1)
    band[down == OUTSIDE] = 0
    band[:, across == OUTSIDE] = 0
    return band


class TilePredictor:
    """Heads of tiles through model calls of one fixed shape, in which each tile has a fixed place.

    The place follows from the tile's number in the whole grid, so that it is the same whichever tiles are asked for.
    A tile of one value per channel is predicted alone, once, and its heads are used again.

    Parameters
    ----------
    predict : takes float32 (N, Y, X, C), gives float32 (N, Y, X, K)
    tile_batch : N of every call
    """

    def __init__(self, predict: Predict, tile_batch: int) -> None:
        self._predict, self._tile_batch = predict, tile_batch
        self._constants: dict[bytes, Pixels] = {}
        # threads that work on several images share what is known
        self._known = threading.Lock()

    def predict_band(
        self, band: Pixels, grid: TileGrid, row: int, tile_columns: tuple[int, int] | None = None
    ) -> Iterator[Pixels]:
        """Heads (tile height, tile width, K) of a row of tiles, or of the columns that the band holds of it."""
        columns = grid.axes[1]
        start, stop = tile_columns or (0, columns.count)
        column = start
        while column < stop:
            place = (row * columns.count + column) % self._tile_batch
            group = range(column, min(column + self._tile_batch - place, stop))
            yield from self._predict_group([_cut(band, grid, at - start) for at in group], place)
            column = group.stop

    def _predict_group(self, tiles: list[Pixels], place: int) -> Iterator[Pixels]:
        """Heads of neighbouring tiles that share a model call from ``place`` on."""
        known = [self._constant(tile) for tile in tiles]
        answers = None
        if any(answer is None for answer in known):
            call = np.zeros((self._tile_batch, *tiles[0].shape), np.float32)
            for at, (tile, answer) in enumerate(zip(tiles, known, strict=True)):
                if answer is None:
                    call[place + at] = tile
            answers = self._predict(call)
        for at, answer in enumerate(known):
            if answer is None:
                assert answers is not None
                answer = answers[place + at]
            yield answer

    def _constant(self, tile: Pixels) -> Pixels | None:
        """Heads of a tile of one value per channel; ``None`` for any other tile."""
        value = tile[0, 0]
        if (tile[-1, -1] != value).any() or (tile != value).any():
            return None
        key = value.tobytes()
        with self._known:
            if key not in self._constants:
                if len(self._constants) == MOST_CONSTANTS:
                    self._constants.pop(next(iter(self._constants)))
                call = np.zeros((self._tile_batch, *tile.shape), np.float32)
                call[0] = tile
                self._constants[key] = self._predict(call)[0].copy()
            return self._constants[key]


def cut_panels(grid: TileGrid, tile_rows: range, tile_batch: int) -> list[Panel]:
    """Cut rows of tiles into panels of about ``PANEL_PX``, from left to right; model calls do not straddle two of them.

    Examples
    --------
    >>> cut_panels(TileGrid((256, 12000)), range(1), 4)
    [(0, (0, 20)), (0, (20, 40)), (0, (40, 60)), (0, (60, 63))]
    """
    columns = grid.axes[1]
    panels = []
    for row in tile_rows:
        start = 0
        while start < columns.count:
            stop = start + max(PANEL_PX // columns.stride, tile_batch)
            stop = min(stop - (row * columns.count + stop) % tile_batch, columns.count)
            panels.append((row, (start, stop)))
            start = stop
    return panels


def blend_rows(
    bands: Iterable[tuple[Panel, Pixels]], predictor: TilePredictor, grid: TileGrid, owned: tuple[int, int]
) -> Iterator[FinishedPart]:
    """Heads of the image rows that some rows of tiles own, as soon as they are finished.

    Parameters
    ----------
    bands : panels of the rows of tiles ``grid.touching_rows(*owned)``, in order, with their pixels, see ``read_band``
    predictor : of the tiles
    grid : where the tiles lie
    owned : first row of tiles, and the one behind the last

    Yields
    ------
    FinishedPart
        Together ``grid.owned_rows(*owned)``; equal to the same pixels of the whole image to the last bit.
    """
    y0, y1 = grid.owned_rows(*owned)
    blender: Blender | None = None
    for (row, tile_columns), band in bands:
        for tile in predictor.predict_band(band, grid, row, tile_columns):
            blender = blender or Blender(grid, tile.shape[2], grid.touching_rows(*owned))
            finished = blender.add(tile)
            if finished is not None and finished.window.y1 > y0:
                window = finished.window
                inside = Window(max(window.y0, y0), min(window.y1, y1), window.x0, window.x1)
                yield FinishedPart(inside, finished.pixels[inside.y0 - window.y0 : inside.y1 - window.y0])


def _cut(band: Pixels, grid: TileGrid, column: int) -> Pixels:
    """One tile of a band."""
    columns = grid.axes[1]
    return band[:, column * columns.stride : column * columns.stride + columns.tile]
