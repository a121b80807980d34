"""Heads of a rectangle of an image, the same as in the whole."""

import numpy as np

from cellbatch._native.blending import add_tile
from cellbatch.geometry.tiles import TileAxis, TileGrid
from cellbatch.inference.blending import axis_weights
from cellbatch.inference.tile_rows import Pixels, Read, TilePredictor, read_band
from cellbatch.spec import Window


def blend_window(window: Window, read: Read, predictor: TilePredictor, grid: TileGrid, padding: str) -> Pixels:
    """Heads of a rectangle, from the tiles of the whole image's grid that touch it.

    Parameters
    ----------
    window : rectangle of the image, in memory as a whole
    read : gives the pixels (y, x, C) of a rectangle of the image
    predictor : of the tiles
    grid : where the tiles of the whole image lie
    padding : see ``read_band``

    Returns
    -------
    ndarray of float32, shape (y, x, K)
        Equal to the same rectangle of the whole image's heads to the last bit: every pixel is summed over the same
        tiles in the same order.
    """
    rows, columns = grid.axes
    tile_rows, tile_columns = touching(rows, window.y0, window.y1), touching(columns, window.x0, window.x1)
    column_weights = [axis_weights(columns, column) for column in range(*tile_columns)]
    size = [
        (last - first - 1) * axis.stride + axis.tile
        for axis, (first, last) in zip(grid.axes, (tile_rows, tile_columns), strict=True)
    ]
    blended: np.ndarray | None = None
    for row in range(*tile_rows):
        band = read_band(grid, row, padding, read, tile_columns)
        y = (row - tile_rows[0]) * rows.stride
        for place, tile in enumerate(predictor.predict_band(band, grid, row, tile_columns)):
            if blended is None:
                blended = np.zeros((*size, tile.shape[2]))
            x = place * columns.stride
            part = blended[y : y + rows.tile, x : x + columns.tile]
            add_tile(tile, axis_weights(rows, row), column_weights[place], part)
    assert blended is not None
    y0 = window.y0 + rows.before - tile_rows[0] * rows.stride
    x0 = window.x0 + columns.before - tile_columns[0] * columns.stride
    return blended[y0 : y0 + window.shape[0], x0 : x0 + window.shape[1]].astype(np.float32)


def touching(axis: TileAxis, start: int, stop: int) -> tuple[int, int]:
    """Tiles of an axis (half-open) that show a pixel of ``start … stop - 1``.

    Examples
    --------
    >>> axis = TileAxis.cover(700, 256, 0.75)
    >>> axis.before, axis.stride, touching(axis, 0, 10), touching(axis, 189, 191), touching(axis, 600, 700)
    (66, 192, (0, 1), (0, 2), (3, 4))
    """
    first = max((start + axis.before - axis.tile) // axis.stride + 1, 0)
    return first, min((stop - 1 + axis.before) // axis.stride + 1, axis.count)
