"""Contrast-limited adaptive histogram equalisation, as maps first and pixels later."""

import numpy as np
from numpy.typing import NDArray

from cellbatch.geometry.mirror import mirror_indices
from cellbatch.spec import Window

BINS = 256
LEVELS = 1 << 14
CLIP_FRACTION = 0.01
_LEVELS_PER_BIN = 1 + LEVELS // BINS
_STEPS_16_BIT = (1 << 16) - 1
# Where a pixel rescaled to 0 … 65535 falls: to 14 bits with half to even, then 65 levels to a bin.
_LEVEL_OF_STEP = np.rint(np.arange(_STEPS_16_BIT + 1) / _STEPS_16_BIT * (LEVELS - 1))
_BIN_OF_STEP = (_LEVEL_OF_STEP // _LEVELS_PER_BIN).astype(np.uint8)

Bins = NDArray[np.uint8]
Maps = NDArray[np.uint16]


def bin_channel(channel: NDArray[np.float32], minimum: np.float32, maximum: np.float32) -> Bins:
    """CLAHE bin of each pixel.

    Parameters
    ----------
    channel : ndarray of float32, shape (Y, X)
        Pixels in `minimum` … `maximum`.
    minimum, maximum : float32
        Of the whole channel, after clipping; `minimum` < `maximum`.

    Returns
    -------
    ndarray of uint8, shape (Y, X)
        0 … 252.

    Raises
    ------
    ValueError
        If a pixel lies outside `minimum` … `maximum`.
    """
    steps = channel - minimum
    steps /= maximum - minimum
    steps *= np.float32(_STEPS_16_BIT)
    np.rint(steps, out=steps)
    if steps.size and not (steps.min() >= 0 and steps.max() <= _STEPS_16_BIT):
        raise ValueError(
            f"pixels of {channel.min()} … {channel.max()} do not belong to a channel of {minimum} … {maximum}"
        )
    return _BIN_OF_STEP[steps.astype(np.uint16)]


def equalization_maps(bins: Bins, tile: tuple[int, int]) -> Maps:
    """Equalising map of each CLAHE tile of a channel.

    Parameters
    ----------
    bins : ndarray of uint8, shape (Y, X)
        The whole channel as CLAHE bins.
    tile : (int, int)
        Height and width of a tile in px. Tiles are anchored at (0, 0); the last partial ones are completed by
        reflection.

    Returns
    -------
    ndarray of uint16, shape (rows, columns, 256)
        Grey level 0 … 16383 of each bin.

    References
    ----------
    K. Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994; constants and order of
    operations of ``skimage.exposure.equalize_adapthist``.
    """
    rows, columns = (-(-size // side) for size, side in zip(bins.shape, tile, strict=True))
    y = mirror_indices(0, rows * tile[0], bins.shape[0])
    x = mirror_indices(0, columns * tile[1], bins.shape[1])
    tile_px = tile[0] * tile[1]
    limit = max(int(CLIP_FRACTION * tile_px), 1)
    maps = np.empty((rows, columns, BINS), np.uint16)
    for row in range(rows):
        band = bins[y[row * tile[0] : (row + 1) * tile[0]]]
        for column in range(columns):
            pixels = band[:, x[column * tile[1] : (column + 1) * tile[1]]]
            histogram = clip_histogram(np.bincount(pixels.ravel(), minlength=BINS), limit)
            levels = np.cumsum(histogram) * ((LEVELS - 1) / tile_px)
            maps[row, column] = np.minimum(levels, LEVELS - 1).astype(np.uint16)
    return maps


def clip_histogram(histogram: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Cut a histogram at `limit` and hand the excess out over all bins.

    An equal share goes to every bin that stays below the limit with it; then every bin that could not take another
    share is filled up to the limit.
    The remainder goes out one count at a time over evenly spaced bins below the limit, in rounds that start at bin
    0, 1, 2, …, until nothing is left or no bin can take more. A round is finished even when it hands out more than was
    left, so the total may grow a little.

    Parameters
    ----------
    histogram : ndarray of int64, shape (256,)
        Counts; not changed.
    limit : int
        Largest count that a bin may keep, at least 1.

    Returns
    -------
    ndarray of int64, shape (256,)

    References
    ----------
    K. Zuiderveld, Graphics Gems IV, 1994, in the variant of ``skimage.exposure.equalize_adapthist``.
    """
    counts = np.minimum(histogram, limit)
    excess = int(histogram.sum() - counts.sum())
    share = excess // counts.size
    has_room = counts < limit - share
    counts[has_room] += share
    excess -= share * int(np.count_nonzero(has_room))
    # Judged after the share is given, so a bin that it brought near the limit is filled up too.
    nearly_full = (counts >= limit - share) & (counts < limit)
    excess -= int((limit - counts[nearly_full]).sum())
    counts[nearly_full] = limit
    while excess > 0:
        excess_before = excess
        for first in range(counts.size):
            below = counts < limit
            spacing = max(int(np.count_nonzero(below)) // excess, 1)
            takers = below[first::spacing]
            counts[first::spacing] += takers
            excess -= int(np.count_nonzero(takers))
            if excess <= 0:
                break
        if excess == excess_before:
            break
    return counts


def interpolate_maps(bins: Bins, maps: Maps, tile: tuple[int, int], window: Window) -> NDArray[np.uint16]:
    """Equalised grey levels of a rectangle: a pure function of its bins, the maps and its place.

    Parameters
    ----------
    bins : ndarray of uint8, shape of the window
        CLAHE bins.
    maps : ndarray of uint16, shape (rows, columns, 256)
        Of the whole channel.
    tile : (int, int)
        Height and width of a tile in px.
    window : Window
        Where the rectangle lies in the channel, px.

    Returns
    -------
    ndarray of uint16, shape of the window
        0 … 16383. The maps of the four nearest tiles are weighted bilinearly; each term is rounded to float32, the
        terms are summed in float32 in raster order of the tiles, and the sum is truncated.
    """
    levels = np.empty(bins.shape, np.uint16)
    for rows, upper, lower, wy in _spans(window.y0, window.y1, tile[0], maps.shape[0]):
        for columns, left, right, wx in _spans(window.x0, window.x1, tile[1], maps.shape[1]):
            block = bins[rows, columns]
            y, x = wy[:, None], wx[None, :]
            total = (maps[upper, left].astype(float)[block] * ((1 - y) * (1 - x))).astype(np.float32)
            total += (maps[upper, right].astype(float)[block] * ((1 - y) * x)).astype(np.float32)
            total += (maps[lower, left].astype(float)[block] * (y * (1 - x))).astype(np.float32)
            total += (maps[lower, right].astype(float)[block] * (y * x)).astype(np.float32)
            levels[rows, columns] = total.astype(np.uint16)
    return levels


_Span = tuple[slice, int, int, NDArray[np.float64]]


def _spans(start: int, stop: int, side: int, tiles: int) -> list[_Span]:
    """Pieces of an axis between the same two tile centres: pixels, both tiles (clamped), weights of the second."""
    shift = side // 2
    spans = []
    for tile in range((start + shift) // side, (stop - 1 + shift) // side + 1):
        first = max(tile * side - shift, start)
        last = min((tile + 1) * side - shift, stop)
        weights = ((np.arange(first, last) + shift) % side) / side
        pixels = slice(first - start, last - start)
        spans.append((pixels, max(tile - 1, 0), min(tile, tiles - 1), weights))
    return spans
