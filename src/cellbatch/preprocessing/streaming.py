"""Statistics of an image that never lies in memory as a whole.

``stream_statistics`` reads the image strip by strip, four times, and gives what ``compute_statistics`` gives.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

import cellbatch._native.contrast as contrast
from cellbatch.geometry.mirror import mirror_indices
from cellbatch.preprocessing.clahe import (
    Bins,
    TileRow,
    TileShape,
    bin_channel_into,
    check_range,
    clahe_tile,
    empty_maps,
)
from cellbatch.preprocessing.clip import PercentileSearch
from cellbatch.preprocessing.resize import checked_image
from cellbatch.preprocessing.statistics import ChannelStatistics, PreprocessingStatistics
from cellbatch.spec import PreprocessingOptions

Pixels = NDArray[np.float32]
ReadRows = Callable[[int, int], ArrayLike]
STRIP_ROWS = 512


class BinStore(Protocol):
    """An array, memory map or Zarr array of uint8, shape (Y, X, C)."""

    def __getitem__(self, key: tuple[slice, slice, int]) -> ArrayLike:
        """Bins of some rows of a channel."""

    def __setitem__(self, key: tuple[slice, slice, int], values: Bins) -> None:
        """Write them."""


def stream_statistics(
    read_rows: ReadRows,
    shape: tuple[int, int],
    channels: int,
    options: PreprocessingOptions,
    *,
    bins: BinStore | None = None,
    strip_rows: int = STRIP_ROWS,
) -> PreprocessingStatistics:
    """Measure what is global in the preprocessing of an image, in memory for a few strips.

    Parameters
    ----------
    read_rows : callable
        Takes y0 and y1 and gives these rows of the image at the model's pixel size: real numbers of the shape
        (y1 - y0, X, C) without NaN or infinities, taken as float32; the same whenever it is asked again.
    shape : (int, int)
        Height and width of the image in px.
    channels : int
        C.
    options : PreprocessingOptions
        Percentile of the non-zero pixels above which values are clipped (None: no clipping), side of a CLAHE tile
        (None: an eighth of the image along each axis).
    bins : array-like of uint8 with slices, shape (Y, X, C), optional
        Receives what `bin_pixels` would give; then the last of the four passes reads it instead of the image.
    strip_rows : int
        Rows to read at once. The result does not depend on it.

    Returns
    -------
    PreprocessingStatistics
        Equal to those of `compute_statistics` for the whole image.

    Raises
    ------
    TypeError
        If the pixels are not real numbers.
    ValueError
        If the rows or an option cannot be used.
    """
    if len(shape) != 2 or min(*shape, channels, strip_rows) < 1:
        raise ValueError(f"expected at least 1 px, channel and row, found {shape}, {channels} and {strip_rows}")
    tile = clahe_tile(options.clahe_kernel_size, shape)
    image = _Image(read_rows, (shape[0], shape[1], channels), strip_rows)
    measures = [_Measure.start(options) for _ in range(channels)]
    for _, pixels in image.strips():
        for index, one in enumerate(measures):
            one.survey(pixels[..., index])
    if options.percentile is not None:
        for _, pixels in image.strips():
            for index, one in enumerate(measures):
                one.refine(pixels[..., index])
    for one in measures:
        one.settle()
    for index, maps in enumerate(_map_channels(image, measures, tile, bins)):
        measures[index].maps = maps
    _find_levels(image, measures, tile, bins)
    return PreprocessingStatistics((shape[0], shape[1]), tile, tuple(one.result() for one in measures))


@dataclass(frozen=True)
class _Image:
    """Rows of an image, in strips."""

    read_rows: ReadRows
    shape: tuple[int, int, int]
    strip_rows: int

    def bounds(self) -> Iterator[tuple[int, int]]:
        """First and last row of each strip."""
        for y0 in range(0, self.shape[0], self.strip_rows):
            yield y0, min(y0 + self.strip_rows, self.shape[0])

    def strips(self) -> Iterator[tuple[int, Pixels]]:
        """First row and pixels of each strip."""
        for y0, y1 in self.bounds():
            yield y0, self.read(y0, y1)

    def read(self, y0: int, y1: int) -> Pixels:
        """Pixels of some rows."""
        pixels = checked_image(self.read_rows(y0, y1))
        expected = (y1 - y0, *self.shape[1:])
        if pixels.shape != expected:
            raise ValueError(f"expected the rows {y0} … {y1} of shape {expected}, found {pixels.shape}")
        return pixels


@dataclass
class _Measure:
    """What is known of a channel so far."""

    lowest: np.float32
    highest: np.float32
    search: PercentileSearch | None
    ceiling: np.float32 | None = None
    maps: NDArray[np.uint16] | None = None
    level_minimum: int = 1 << 16
    level_maximum: int = 0

    @classmethod
    def start(cls, options: PreprocessingOptions) -> "_Measure":
        """Nothing is known yet."""
        search = None if options.percentile is None else PercentileSearch(options.percentile)
        return cls(np.float32(np.inf), np.float32(-np.inf), search)

    def survey(self, channel: Pixels) -> None:
        """First pass: range and upper halves."""
        lowest, highest = contrast.find_range(channel)
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)
        if self.search:
            self.search.count(channel)

    def refine(self, channel: Pixels) -> None:
        """Second pass: lower halves."""
        if self.search:
            self.search.refine(channel)

    def settle(self) -> None:
        """Clip the range at the percentile."""
        check_range(self.lowest, self.highest)
        self.ceiling = self.search.value() if self.search else None
        if self.ceiling is not None:
            self.lowest, self.highest = min(self.lowest, self.ceiling), min(self.highest, self.ceiling)

    @property
    def is_constant(self) -> bool:
        """Whether the clipped channel holds one value only."""
        return bool(self.lowest == self.highest)

    def bins(self, channel: Pixels) -> Bins:
        """CLAHE bins of some rows."""
        bins = np.zeros(channel.shape, np.uint8)
        if not self.is_constant:
            ceiling = np.inf if self.ceiling is None else self.ceiling
            bin_channel_into(channel, (ceiling, self.lowest, self.highest), out=bins)
        return bins

    def result(self) -> ChannelStatistics:
        """All that was found."""
        assert self.maps is not None
        levels = (0, 0) if self.is_constant else (self.level_minimum, self.level_maximum)
        return ChannelStatistics(self.ceiling, self.lowest, self.highest, self.maps, *levels)


def _map_channels(
    image: _Image, measures: list[_Measure], tile: TileShape, store: BinStore | None
) -> list[NDArray[np.uint16]]:
    """Third pass: the maps of each row of tiles from its own rows, and those by which the last one is mirrored."""
    height, width, channels = image.shape
    rows = [TileRow(width, tile) for _ in range(channels)]
    maps = [empty_maps((height, width), tile) for _ in range(channels)]
    for y0, pixels in image.strips():
        for index, one in enumerate(measures):
            bins = one.bins(pixels[..., index])
            if store is not None:
                store[y0 : y0 + len(bins), 0:width, index] = bins
            if not one.is_constant:
                _count_rows(bins, y0, rows[index], maps[index], tile[0])
    # The last tiles go on by reflection, over more rows than their own where those are few.
    end = -(-height // tile[0]) * tile[0]
    for first in range(height, end, image.strip_rows):
        mirrored = mirror_indices(first, min(first + image.strip_rows, end), height)
        start = int(mirrored.min())
        pixels = image.read(start, int(mirrored.max()) + 1)
        for index, one in enumerate(measures):
            if not one.is_constant:
                bins = one.bins(pixels[..., index])[mirrored - start]
                _count_rows(bins, first, rows[index], maps[index], tile[0])
    return maps


def _count_rows(bins: Bins, y0: int, row: TileRow, maps: NDArray[np.uint16], tile_height: int) -> None:
    """Count bins from the row `y0` on, and keep the maps of each row of tiles that is complete with them."""
    end = y0 + len(bins)
    for y in range(y0 - y0 % tile_height, end, tile_height):
        row.add(bins[max(y - y0, 0) : y + tile_height - y0])
        if y + tile_height <= end:
            maps[y // tile_height] = row.finish()


def _find_levels(image: _Image, measures: list[_Measure], tile: TileShape, store: BinStore | None) -> None:
    """Fourth pass: lowest and highest grey level."""
    for y0, y1 in image.bounds():
        pixels = image.read(y0, y1) if store is None else None
        for index, one in enumerate(measures):
            if one.is_constant or one.maps is None:
                continue
            if pixels is None:
                assert store is not None
                bins = np.asarray(store[y0:y1, 0 : image.shape[1], index], np.uint8)
            else:
                bins = one.bins(pixels[..., index])
            _, lowest, highest = contrast.interpolate(bins, one.maps, tile, (y0, 0))
            one.level_minimum = min(one.level_minimum, lowest)
            one.level_maximum = max(one.level_maximum, highest)
