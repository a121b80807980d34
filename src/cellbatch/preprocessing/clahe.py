"""Contrast-limited adaptive histogram equalisation, as maps first and pixels later."""

import numpy as np
from numpy.typing import NDArray

import cellbatch._native.contrast as contrast
from cellbatch.geometry.mirror import mirror_indices
from cellbatch.spec import Window

BINS = 256
LEVELS = 1 << 14
CLIP_FRACTION = 0.01
TILES_PER_AXIS = 8
_LEVELS_PER_BIN = 1 + LEVELS // BINS
_STEPS_16_BIT = (1 << 16) - 1
# Where a pixel rescaled to 0 … 65535 falls: to 14 bits with half to even, then 65 levels to a bin.
_LEVEL_OF_STEP = np.rint(np.arange(_STEPS_16_BIT + 1) / _STEPS_16_BIT * (LEVELS - 1))
_BIN_OF_STEP = (_LEVEL_OF_STEP // _LEVELS_PER_BIN).astype(np.uint8)

Bins = NDArray[np.uint8]
Maps = NDArray[np.uint16]
TileShape = tuple[int, int]


def clahe_tile(kernel_size: int | None, shape: tuple[int, int]) -> TileShape:
    """Height and width of a CLAHE tile in px.

    Parameters
    ----------
    kernel_size : int or None
        Side of a tile in px; None: an eighth of the image along each axis, at least 1 px.
    shape : (int, int)
        Height and width of the image in px.

    Raises
    ------
    TypeError, ValueError
        If the side cannot be used.
    """
    if kernel_size is None:
        return max(shape[0] // TILES_PER_AXIS, 1), max(shape[1] // TILES_PER_AXIS, 1)
    if isinstance(kernel_size, bool) or not isinstance(kernel_size, (int, np.integer)):
        raise TypeError(f"clahe_kernel_size must be a whole number or None, found {kernel_size!r}")
    if kernel_size < 1:
        raise ValueError(f"clahe_kernel_size must be at least 1 px, found {kernel_size}")
    return int(kernel_size), int(kernel_size)


def check_range(lowest: np.float32, highest: np.float32) -> None:
    """Refuse a channel whose range overflows."""
    if float(highest) - float(lowest) > float(np.finfo(np.float32).max):
        raise ValueError(f"the range {lowest} … {highest} of a channel is wider than float32 can take")


def empty_maps(shape: tuple[int, ...], tile: TileShape) -> Maps:
    """Give the maps of a constant channel."""
    rows, columns = (-(-size // side) for size, side in zip(shape, tile, strict=True))
    return np.zeros((rows, columns, BINS), np.uint16)


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
    bins = np.empty(channel.shape, np.uint8)
    bin_channel_into(channel, (np.inf, minimum, maximum), bins)
    return bins


def bin_channel_into(channel: NDArray[np.float32], scale: tuple[float, float, float], out: Bins) -> None:
    """Write what `bin_channel` gives into `out`; the scale is ceiling, minimum and maximum."""
    if not contrast.bin_pixels(channel, scale, _BIN_OF_STEP, out):
        ceiling, minimum, maximum = scale
        clipped = np.minimum(channel, np.float32(ceiling))
        raise ValueError(
            f"pixels of {clipped.min()} … {clipped.max()} do not belong to a channel of {minimum} … {maximum}"
        )


class TileRow:
    """Makes the equalising maps of one row of CLAHE tiles after the other, from bins that come a few rows at a time.

    Parameters
    ----------
    width : int
        Of the channel in px.
    tile : (int, int)
        Height and width of a tile in px. The last partial one of a row is completed by reflection.

    References
    ----------
    K. Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994; constants and order of
    operations of ``skimage.exposure.equalize_adapthist``.

    Notes
    -----
    Each histogram is cut at a limit and the excess handed out over all bins. An equal share goes to every bin that
    stays below the limit with it; then every bin that could not take another share is filled up to the limit. The
    remainder goes out one count at a time over evenly spaced bins below the limit, in rounds that start at bin 0, 1,
    2, …, until nothing is left or no bin can take more. A round is finished even when it hands out more than was left.
    """

    def __init__(self, width: int, tile: TileShape) -> None:
        self._tile = tile
        self._counts = np.zeros((-(-width // tile[1]), BINS), np.int64)

    def add(self, bins: Bins) -> None:
        """Count rows of bins (y, X) of the row of tiles."""
        contrast.count_tiles(bins, self._tile[1], self._counts)

    def finish(self) -> Maps:
        """Grey level 0 … 16383 of each bin, shape (columns, 256); what is added next belongs to the next row."""
        tile_px = self._tile[0] * self._tile[1]
        maps = contrast.map_counts(self._counts, tile_px, max(int(CLIP_FRACTION * tile_px), 1))
        self._counts[:] = 0
        return maps


def equalization_maps(bins: Bins, tile: TileShape) -> Maps:
    """Equalising map of each CLAHE tile of a channel, see `TileRow`.

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
    """
    height, width = bins.shape
    maps, row = empty_maps(bins.shape, tile), TileRow(width, tile)
    for index in range(len(maps)):
        y0, y1 = index * tile[0], (index + 1) * tile[0]
        row.add(bins[y0:y1] if y1 <= height else bins[mirror_indices(y0, y1, height)])
        maps[index] = row.finish()
    return maps


def interpolate_maps(bins: Bins, maps: Maps, tile: TileShape, window: Window) -> NDArray[np.uint16]:
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
    return contrast.interpolate(bins, maps, tile, (window.y0, window.x0))[0]
