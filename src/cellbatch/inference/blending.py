"""From an image to model tiles, and from the tiles' heads back to one map."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from cellbatch.geometry.tiles import OUTSIDE, TileAxis, TileGrid

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


def _axis_weights(axis: TileAxis, position: int) -> Weights:
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
        All tiles in raster order; an array (N, tile height, tile width, K) will do. Read once.
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
    rows, columns = grid.axes
    column_weights = [_axis_weights(columns, column) for column in range(columns.count)]
    first = _next_tile(source, grid, 0, None)
    channels = first.shape[2]
    if len(grid) == 1:
        # All weights are 1; most small images come this way.
        window = first[rows.before : rows.before + rows.size, columns.before : columns.before + columns.size]
        _check_end(source, grid)
        return window.astype(np.float32)
    blended = np.empty((*grid.shape, channels), np.float32)
    band = np.zeros((rows.tile, columns.padded_size, channels))
    for row in range(rows.count):
        row_weights = _axis_weights(rows, row)
        for column in range(columns.count):
            index = row * columns.count + column
            tile = first if index == 0 else _next_tile(source, grid, index, channels)
            x0 = column * columns.stride
            weights = row_weights[:, None] * column_weights[column][None, :]
            band[:, x0 : x0 + columns.tile] += tile * weights[:, :, None]
        _flush(band, blended, grid, row)
    _check_end(source, grid)
    return blended


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


def _flush(band: Weights, blended: Image, grid: TileGrid, row: int) -> None:
    """Write the rows that no later tile touches, and move the rest to the top of an else empty band."""
    rows, columns = grid.axes
    finished = rows.tile if row == rows.count - 1 else rows.stride
    first = row * rows.stride - rows.before
    y0, y1 = max(first, 0), min(first + finished, rows.size)
    if y0 < y1:
        blended[y0:y1] = band[y0 - first : y1 - first, columns.before : columns.before + columns.size]
    rest = band[finished:].copy()
    band[: len(rest)] = rest
    band[len(rest) :] = 0
