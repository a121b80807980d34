"""From an image to model tiles, and from the tiles' heads back to one map."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.blending import add_tile
from cellbatch.geometry.tiles import OUTSIDE, TileAxis, TileGrid
from cellbatch.spec import Window

Image = NDArray[np.float32]
Weights = NDArray[np.float64]


def extract_tile(image: Image, grid: TileGrid, index: int, padding: str = "constant") -> Image:
    """One model input.

    Parameters
    ----------
    image : ndarray of float32, shape (Y, X, C)
        Preprocessed image of the grid's shape.
    grid : TileGrid
        Where the tiles lie.
    index : int
        Tile number in raster order.
    padding : {"constant", "reflect"}
        What lies outside the image: zeros or the mirrored image. An axis shorter than a tile is mirrored either way.

    Returns
    -------
    ndarray of float32, shape (tile height, tile width, C)

    Raises
    ------
    ValueError
        If the image does not have the grid's shape, or `padding` is another word.
    """
    if image.ndim != 3 or image.shape[:2] != grid.shape:
        raise ValueError(f"expected an image of shape (Y, X, C) = (*{grid.shape}, C), found {image.shape}")
    rows, columns = grid.source_indices(index, padding)
    tile = image.take(rows, axis=0).take(columns, axis=1)
    tile[rows == OUTSIDE] = 0
    tile[:, columns == OUTSIDE] = 0
    return tile.astype(np.float32, copy=False)


def extract_tiles(image: Image, grid: TileGrid, padding: str = "constant") -> Iterator[Image]:
    """All model inputs in raster order; see `extract_tile`."""
    return (extract_tile(image, grid, index, padding) for index in range(len(grid)))


def overlap_window(overlap: int) -> Weights:
    """Rising weights over an overlap: the first half of a squared spline of twice the length.

    Parameters
    ----------
    overlap : int
        Pixels that two tiles share.

    Returns
    -------
    ndarray of float64, shape (overlap,)
        With its mirror image it sums to 1 / m, where m < 1 is the window's own maximum: seams scale by that much.

    References
    ----------
    Squared spline window of deepcell-toolbox 0.12.1, described in the method documentation of this project.
    """
    if overlap < 1:
        return np.ones(0)
    length = 2 * overlap
    triangle = (2 * np.arange(overlap) + 1) / length
    quarter = length // 4
    rising = (2 * triangle) ** 2 / 2
    falling = 1 - (2 * (triangle - 1)) ** 2 / 2
    window = np.where(np.arange(overlap) < quarter, rising, falling)
    return np.asarray(window / window.max())


def axis_weights(axis: TileAxis, position: int) -> Weights:
    """Weight of each px of the tile at `position`: 1 except where it overlaps a neighbour."""
    weights = np.ones(axis.tile)
    ramp = overlap_window(axis.overlap)
    if position > 0 and axis.overlap:
        weights[: axis.overlap] *= ramp
    if position < axis.count - 1 and axis.overlap:
        weights[-axis.overlap :] *= ramp[::-1]
    return weights


def blend_tiles(heads: Iterable[NDArray[np.floating]], grid: TileGrid) -> Image:
    """One map from the heads of all tiles.

    Each tile is multiplied by a separable window, summed in double in raster order, and rounded to float32; the
    padding is cropped. Where tiles do not overlap the weight is 1.

    One deliberate difference from deepcell-toolbox, which blends only if both padded axes are longer than a tile and
    otherwise lets the tiles of the long axis overwrite each other: here the long axis is blended also when the short
    one holds a single tile (weight 1 along the short one), so such images have no hard seams.

    Parameters
    ----------
    heads : iterable of ndarray, each of shape (tile height, tile width, K)
        All tiles in raster order, taken as float32; an array (N, tile height, tile width, K) will do. Read once.
    grid : TileGrid
        Where the tiles lie.

    Returns
    -------
    ndarray of float32, shape (Y, X, K)

    Raises
    ------
    ValueError
        If a tile has another shape, or there are fewer or more tiles than the grid has.

    References
    ----------
    Untiling of deepcell-toolbox 0.12.1, described in the method documentation of this project.
    """
    source = iter(heads)
    first = _next_tile(source, grid, 0, None)
    channels = first.shape[2]
    rows, columns = grid.axes
    if len(grid) == 1:
        # All weights are 1; most small images come this way.
        window = first[rows.before : rows.before + rows.size, columns.before : columns.before + columns.size]
        _check_end(source, grid)
        return window.astype(np.float32)
    blended = np.empty((*grid.shape, channels), np.float32)
    blender = Blender(grid, channels)
    for index in range(len(grid)):
        tile = first if index == 0 else _next_tile(source, grid, index, channels)
        finished = blender.add(tile)
        if finished is not None:
            blended[finished.window.slices] = finished.pixels
    _check_end(source, grid)
    return blended


@dataclass(frozen=True)
class FinishedPart:
    """A rectangle of a map that no other tile touches.

    Attributes
    ----------
    window : Window
        Which rectangle of the image.
    pixels : ndarray of float32, shape (y, x, K)
    """

    window: Window
    pixels: Image


class Blender:
    """`blend_tiles` for one tile after another, in memory for the overlap of two rows of tiles.

    With `tile_rows` only these rows of tiles are blended. Rows of the image that other rows of tiles touch, too, are
    left out: give the rows of tiles that touch the wanted ones, and the result is that of the whole to the last bit.

    Parameters
    ----------
    grid : TileGrid
        Where the tiles lie.
    channels : int
        K.
    tile_rows : (int, int), optional
        First row of tiles and the one behind the last; all of them by default.

    Raises
    ------
    ValueError
        If there is no such row of tiles.

    Examples
    --------
    >>> grid = TileGrid((6, 2), (4, 2), 0.5)
    >>> blender = Blender(grid, 1)
    >>> [tuple(part.window) for part in map(blender.add, np.ones((2, 4, 2, 1), np.float32))]
    [(0, 2, 0, 2), (2, 6, 0, 2)]
    """

    def __init__(self, grid: TileGrid, channels: int, tile_rows: tuple[int, int] | None = None) -> None:
        rows, columns = grid.axes
        self._first, self._last = tile_rows or (0, rows.count)
        if not (0 <= self._first < self._last <= rows.count and channels > 0):
            raise ValueError(f"no rows {tile_rows} of tiles with {channels} channels in a grid of {rows.count} rows")
        self._grid = grid
        self._column_weights = [axis_weights(columns, column) for column in range(columns.count)]
        # sums under the tile that comes next, and those that the row of tiles before left for its columns
        self._sums = np.zeros((rows.tile, columns.tile, channels))
        self._above = np.zeros((rows.overlap, columns.padded_size, channels))
        self._row, self._column = self._first, 0

    def add(self, tile: NDArray[np.floating]) -> FinishedPart | None:
        """Take the heads of the next tile in raster order.

        Parameters
        ----------
        tile : ndarray, shape (tile height, tile width, K)
            Taken as float32.

        Returns
        -------
        FinishedPart or None
            What no later tile touches; None where there is nothing of the image in it.

        Raises
        ------
        ValueError
            If the tile has another shape, or there was no tile left to come.
        """
        rows, columns = self._grid.axes
        if tile.shape != self._sums.shape:
            raise ValueError(f"expected heads of shape {self._sums.shape} for every tile, found {tile.shape}")
        if self._row == self._last:
            raise ValueError(f"heads of more tiles than the rows {self._first} … {self._last} of the grid have")
        x0 = self._column * columns.stride
        kept = columns.overlap if self._column else 0
        self._sums[:, :kept] = self._sums[:, columns.tile - kept :].copy()
        self._sums[:, kept:] = 0
        self._sums[: rows.overlap, kept:] = self._above[:, x0 + kept : x0 + columns.tile]
        add_tile(tile, axis_weights(rows, self._row), self._column_weights[self._column], self._sums)
        row, column = self._row, self._column
        is_last = column == columns.count - 1
        self._row, self._column = (row + 1, 0) if is_last else (row, column + 1)
        return self._finish(row, column)

    def _finish(self, row: int, column: int) -> FinishedPart | None:
        """Give the part that no later tile touches, and leave the rest to the row of tiles below."""
        rows, columns = self._grid.axes
        top, left = row * rows.stride - rows.before, column * columns.stride - columns.before
        height = rows.tile if row == rows.count - 1 else rows.stride
        width = columns.tile if column == columns.count - 1 else columns.stride
        if height < rows.tile:
            x0 = column * columns.stride
            self._above[:, x0 : x0 + width] = self._sums[height:, :width]
        # above a first row of tiles in the middle of the grid, others are missing
        known = (self._first - 1) * rows.stride + rows.tile - rows.before if self._first else -rows.before
        y0, y1 = max(top, known, 0), min(top + height, rows.size)
        x0, x1 = max(left, 0), min(left + width, columns.size)
        if y0 >= y1 or x0 >= x1:
            return None
        pixels = self._sums[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
        return FinishedPart(Window(y0, y1, x0, x1), pixels)


def _check_end(source: Iterator[NDArray[np.floating]], grid: TileGrid) -> None:
    """Refuse tiles beyond the grid."""
    if next(source, None) is not None:
        raise ValueError(f"heads of more tiles than the {len(grid)} of the grid")


def _next_tile(
    source: Iterator[NDArray[np.floating]], grid: TileGrid, index: int, channels: int | None
) -> NDArray[np.floating]:
    """Heads of tile `index`, if there are any and they have the shape of the grid and of the tiles before."""
    heads = next(source, None)
    if heads is None:
        raise ValueError(f"heads of {index} tiles for a grid of {len(grid)}")
    tile = np.asarray(heads)
    if tile.ndim != 3 or tile.shape[:2] != grid.tile_shape or channels not in (None, tile.shape[2]):
        wanted = (*grid.tile_shape, "K" if channels is None else channels)
        raise ValueError(f"expected heads of shape {wanted} for every tile, found {tile.shape}")
    return tile
