"""The hand-off from preprocessing to inference: one byte per pixel and channel, plus what is global in an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from cellbatch.io.handoffs import HandoffReader, HandoffWriter
from cellbatch.preprocessing.statistics import PreprocessingStatistics, equalize
from cellbatch.spec import Window

BINS = "bins"
MAPS = "maps"


class StoredBins(Protocol):
    """Bins that do not lie in memory."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""

    def blocks(self, chunks: tuple[int, ...]) -> Iterator[tuple[tuple[int, int, int], np.ndarray]]:
        """Start (C, Y, X) and bins (c, y, x) of blocks of this shape that cover all channels."""


def write_pixels(
    handoff: HandoffWriter, sample: str, bins: np.ndarray | StoredBins, statistics: PreprocessingStatistics
) -> None:
    """Store one image.

    Parameters
    ----------
    bins : uint8 (Y, X, C) at ``model_mpp``, in memory or on scratch; stored as CYX, so that rectangles can be read
    statistics : what is global in the image; its small arrays are stored as attributes
    """
    arrays = statistics.to_arrays()
    if isinstance(bins, np.ndarray):
        handoff.write(sample, BINS, np.ascontiguousarray(np.moveaxis(bins, -1, 0)))
    else:
        array = handoff.create(sample, BINS, bins.shape, np.uint8)
        for start, block in bins.blocks(array.chunks):
            array.write(start, block)
    handoff.write(sample, MAPS, np.asarray(arrays.pop(MAPS)))
    handoff.write_attributes(sample, {name: _to_plain(values) for name, values in arrays.items()})


class PixelReader:
    """The image that the network sees, rebuilt by rectangle, bit for bit; threads may read at once.

    Parameters
    ----------
    handoff : written by ``write_pixels``
    sample : its name

    Attributes
    ----------
    shape : (Y, X) at ``model_mpp``
    """

    def __init__(self, handoff: HandoffReader, sample: str) -> None:
        self._handoff, self._sample = handoff, sample
        arrays = {name: _from_plain(values) for name, values in handoff.attributes(sample).items()}
        self._statistics = PreprocessingStatistics.from_arrays({**arrays, MAPS: handoff.read(sample, MAPS)})
        self.shape = self._statistics.shape

    def read(self, window: Window) -> np.ndarray:
        """Pixels of a rectangle, float32 (y, x, C), 0 … 1."""
        bins = np.moveaxis(self._handoff.read(self._sample, BINS, window), 0, -1)
        return equalize(bins, self._statistics, window)


def _to_plain(values: np.ndarray) -> object:
    """Make lists and numbers; JSON has no NaN, so ``None`` stands for it."""
    if values.dtype.kind == "f":
        return [None if np.isnan(value) else float(value) for value in values.ravel()]
    return values.tolist()


def _from_plain(values: object) -> np.ndarray:
    if isinstance(values, list):
        return np.array([np.nan if value is None else value for value in values])
    return np.asarray(values)
