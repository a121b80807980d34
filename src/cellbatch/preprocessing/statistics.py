"""What is global in the preprocessing of an image, apart from what is local to a pixel.

``compute_statistics`` looks at the whole image once. After that any rectangle is a pure function of its raw pixels
(``bin_pixels``), or of its bins and place (``equalize``), and equals the same rectangle of ``preprocess``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

import cellbatch._native.contrast as contrast
from cellbatch.preprocessing.clahe import (
    Bins,
    TileShape,
    bin_channel_into,
    check_range,
    clahe_tile,
    empty_maps,
    equalization_maps,
)
from cellbatch.preprocessing.clip import nonzero_percentile
from cellbatch.preprocessing.resize import checked_image
from cellbatch.spec import PreprocessingOptions, Window

Pixels = NDArray[np.float32]
Levels = NDArray[np.uint16]

_FORMAT_VERSION = 2


@dataclass(frozen=True)
class ChannelStatistics:
    """Global values of one channel.

    Attributes
    ----------
    ceiling : float32 or None
        Value to which brighter pixels are set; None where nothing is clipped.
    minimum, maximum : float32
        After clipping.
    maps : ndarray of uint16, shape (rows, columns, 256)
        CLAHE maps; zeros for a constant channel.
    level_minimum, level_maximum : int
        Of the grey levels 0 … 16383 that CLAHE gives over the whole channel.
    """

    ceiling: np.float32 | None
    minimum: np.float32
    maximum: np.float32
    maps: NDArray[np.uint16]
    level_minimum: int
    level_maximum: int

    @property
    def is_constant(self) -> bool:
        """Whether the channel holds one value only (then it becomes zeros)."""
        return bool(self.minimum == self.maximum)

    @property
    def flat(self) -> int:
        """What pixels become where CLAHE gives one grey level only: it is clipped to 0 … 1, not stretched."""
        return min(self.level_minimum, 1)


@dataclass(frozen=True)
class PreprocessingStatistics:
    """Global values of one image: all that `bin_pixels` and `equalize` need besides the rectangle.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image in px, at the size that the model sees.
    tile : (int, int)
        Height and width of a CLAHE tile in px.
    channels : tuple of ChannelStatistics
    """

    shape: tuple[int, int]
    tile: TileShape
    channels: tuple[ChannelStatistics, ...]

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give the record as plain arrays for storage; NaN as ceiling stands for none."""
        channels = self.channels
        ceilings = [np.nan if channel.ceiling is None else channel.ceiling for channel in channels]
        return {
            "version": np.array(_FORMAT_VERSION, np.int64),
            "shape": np.array(self.shape, np.int64),
            "tile": np.array(self.tile, np.int64),
            "ceiling": np.array(ceilings, np.float32),
            "minimum": np.array([channel.minimum for channel in channels], np.float32),
            "maximum": np.array([channel.maximum for channel in channels], np.float32),
            "level_minimum": np.array([channel.level_minimum for channel in channels], np.int64),
            "level_maximum": np.array([channel.level_maximum for channel in channels], np.int64),
            "maps": np.stack([channel.maps for channel in channels]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike]) -> PreprocessingStatistics:
        """Inverse of `to_arrays`.

        Raises
        ------
        ValueError
            If the arrays were written by another version of this record.
        """
        record = {name: np.asarray(value) for name, value in arrays.items()}
        if int(record["version"]) != _FORMAT_VERSION:
            raise ValueError(f"preprocessing statistics of version {record['version']}, expected {_FORMAT_VERSION}")
        channels = tuple(
            ChannelStatistics(
                ceiling=None if np.isnan(record["ceiling"][index]) else np.float32(record["ceiling"][index]),
                minimum=np.float32(record["minimum"][index]),
                maximum=np.float32(record["maximum"][index]),
                maps=maps.astype(np.uint16, copy=False),
                level_minimum=int(record["level_minimum"][index]),
                level_maximum=int(record["level_maximum"][index]),
            )
            for index, maps in enumerate(record["maps"])
        )
        height, width = (int(n) for n in record["shape"])
        tile_height, tile_width = (int(n) for n in record["tile"])
        return cls((height, width), (tile_height, tile_width), channels)


def compute_statistics(image: ArrayLike, options: PreprocessingOptions) -> PreprocessingStatistics:
    """Measure what is global in the preprocessing of an image.

    Parameters
    ----------
    image : array_like, shape (Y, X, C)
        Real numbers without NaN or infinities, at the model's pixel size; taken as float32.
    options : PreprocessingOptions
        Percentile of the non-zero pixels above which values are clipped (None: no clipping), side of a CLAHE tile
        (None: an eighth of the image along each axis).

    Returns
    -------
    PreprocessingStatistics

    Raises
    ------
    TypeError
        If the pixels are not real numbers.
    ValueError
        If the image or an option cannot be used.

    References
    ----------
    Preprocessing of DeepCell 0.12.10's Mesmer, described in the method documentation of this project.
    """
    return _measure(checked_image(image), options)[0]


def bin_pixels(window_image: ArrayLike, statistics: PreprocessingStatistics) -> Bins:
    """CLAHE bin of each pixel of any rectangle of the measured image: one byte instead of four.

    Parameters
    ----------
    window_image : array_like, shape (y, x, C)
        Raw pixels of the rectangle, taken as float32.
    statistics : PreprocessingStatistics
        Of the whole image.

    Returns
    -------
    ndarray of uint8, shape (y, x, C)
        0 … 252; zeros in constant channels.

    Raises
    ------
    TypeError
        If the pixels are not real numbers.
    ValueError
        If the channels do not match, or a pixel cannot belong to the measured image.
    """
    pixels = checked_image(window_image)
    _check_channels(pixels, statistics)
    bins = np.zeros(pixels.shape, np.uint8)
    for index, channel in enumerate(statistics.channels):
        if channel.is_constant:
            continue
        scale = (np.inf if channel.ceiling is None else channel.ceiling, channel.minimum, channel.maximum)
        bin_channel_into(pixels[..., index], scale, out=bins[..., index])
    return bins


def equalize(bins: Bins, statistics: PreprocessingStatistics, window: Window) -> Pixels:
    """Preprocessed pixels of any rectangle, rebuilt from its bins.

    Parameters
    ----------
    bins : ndarray of uint8, shape (y, x, C)
        From `bin_pixels`, for the rectangle.
    statistics : PreprocessingStatistics
        Of the whole image.
    window : Window
        Where the rectangle lies in the image, px.

    Returns
    -------
    ndarray of float32, shape (y, x, C)
        0 … 1, bit-equal to the same rectangle of `preprocess`.

    Raises
    ------
    TypeError
        If `bins` is not uint8.
    ValueError
        If the shapes of bins, window and statistics do not match, or the window leaves the image.
    """
    if bins.dtype != np.uint8:
        raise TypeError(f"expected CLAHE bins of dtype uint8, found {bins.dtype}")
    if bins.ndim != 3 or bins.shape[:2] != window.shape:
        raise ValueError(f"expected bins of shape (Y, X, C) = (*{window.shape}, C), found {bins.shape}")
    _check_channels(bins, statistics)
    height, width = statistics.shape
    if not (0 <= window.y0 < window.y1 <= height and 0 <= window.x0 < window.x1 <= width):
        raise ValueError(f"{window} is empty or leaves the image of {height}x{width} px")
    equalized = np.full(bins.shape, [channel.flat for channel in statistics.channels], np.float32)
    for index, channel in enumerate(statistics.channels):
        ends = (channel.level_minimum, channel.level_maximum)
        if ends[0] < ends[1]:
            start = (window.y0, window.x0)
            contrast.equalize(bins[..., index], channel.maps, statistics.tile, start, ends, out=equalized[..., index])
    return equalized


def preprocess(image: ArrayLike, *, percentile: float | None = 99.9, clahe_kernel_size: int | None = 128) -> Pixels:
    """Clip bright spots and equalise contrast locally, channel by channel.

    Parameters
    ----------
    image : array_like, shape (Y, X, C)
        Real numbers without NaN or infinities, at the model's pixel size; taken as float32.
    percentile : float or None
        Values above this percentile of the channel's non-zero pixels are set to it; None skips the step.
    clahe_kernel_size : int or None
        Side of a CLAHE tile in px; None: an eighth of the image along each axis.

    Returns
    -------
    ndarray of float32, shape (Y, X, C)
        0 … 1; a constant channel becomes zeros.

    Raises
    ------
    TypeError
        If the pixels are not real numbers.
    ValueError
        If the image or an option cannot be used.

    References
    ----------
    Preprocessing of DeepCell 0.12.10's Mesmer, described in the method documentation of this project.
    """
    pixels = checked_image(image)
    statistics, levels = _measure(pixels, PreprocessingOptions(percentile, clahe_kernel_size))
    equalized = np.full(pixels.shape, [channel.flat for channel in statistics.channels], np.float32)
    for index, channel in enumerate(statistics.channels):
        if channel.level_minimum < channel.level_maximum:
            ends = (channel.level_minimum, channel.level_maximum)
            contrast.stretch(levels[index], ends, out=equalized[..., index])
    return equalized


def _measure(pixels: Pixels, options: PreprocessingOptions) -> tuple[PreprocessingStatistics, list[Levels]]:
    """Statistics of all channels, with the grey levels that were computed on the way."""
    height, width = pixels.shape[:2]
    tile = clahe_tile(options.clahe_kernel_size, (height, width))
    measured = [_measure_channel(pixels[..., index], options.percentile, tile) for index in range(pixels.shape[2])]
    statistics = PreprocessingStatistics((height, width), tile, tuple(one for one, _ in measured))
    return statistics, [levels for _, levels in measured]


def _measure_channel(channel: Pixels, percentile: float | None, tile: TileShape) -> tuple[ChannelStatistics, Levels]:
    """Statistics of one channel, with the grey levels that were computed on the way."""
    lowest, highest = contrast.find_range(channel)
    check_range(lowest, highest)
    ceiling = None if percentile is None else nonzero_percentile(channel, percentile)
    minimum, maximum = (lowest, highest) if ceiling is None else (min(lowest, ceiling), min(highest, ceiling))
    if minimum == maximum:
        maps = empty_maps(channel.shape, tile)
        return ChannelStatistics(ceiling, minimum, maximum, maps, 0, 0), np.zeros(channel.shape, np.uint16)
    bins = np.empty(channel.shape, np.uint8)
    bin_channel_into(channel, (np.inf if ceiling is None else ceiling, minimum, maximum), out=bins)
    maps = equalization_maps(bins, tile)
    levels, level_minimum, level_maximum = contrast.interpolate(bins, maps, tile, (0, 0))
    return ChannelStatistics(ceiling, minimum, maximum, maps, level_minimum, level_maximum), levels


def _check_channels(pixels: NDArray[np.generic], statistics: PreprocessingStatistics) -> None:
    """Refuse pixels with another number of channels than was measured."""
    if pixels.shape[2] != len(statistics.channels):
        raise ValueError(f"expected {len(statistics.channels)} channels, found {pixels.shape[2]}")
