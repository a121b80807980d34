"""Preprocessing of an image of any size, in memory for a few strips: through scratch on disk, each pixel read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from cellbatch.geometry.blocks import cover
from cellbatch.geometry.scale import model_shape
from cellbatch.io.prefetch import read_ahead
from cellbatch.io.scratch import ScratchPlanes
from cellbatch.phases.sources import SampleImage
from cellbatch.preprocessing.resize_single import choose_resize
from cellbatch.preprocessing.statistics import PreprocessingStatistics
from cellbatch.preprocessing.streaming import stream_statistics
from cellbatch.progress import Progress
from cellbatch.spec import Manifest, PreprocessingOptions, SampleSpec, Window

ReadRows = Callable[[int, int], np.ndarray]
# px of a strip, and rows at most; a strip of a very wide image is one row of CLAHE tiles
STRIP_PX = 1 << 22
STRIP_ROWS = 512
# besides copying the channels, the statistics look at the pixels four times
STATISTICS_PASSES = 4


class StreamedBins:
    """Bins (Y, X, C) on scratch, as ``stream_statistics`` writes and reads them, and as CYX for the hand-off.

    Parameters
    ----------
    planes : uint8 (C, Y, X)
    """

    def __init__(self, planes: ScratchPlanes) -> None:
        self._planes = planes
        self.shape = planes.shape

    def __getitem__(self, key: tuple[slice, slice, int]) -> np.ndarray:
        """Bins of some rows of a channel."""
        return self._planes.read(key[2], self._window(key))

    def __setitem__(self, key: tuple[slice, slice, int], values: np.ndarray) -> None:
        """Write them."""
        self._planes.write(key[2], self._window(key), values)

    def blocks(self, chunks: tuple[int, ...]) -> Iterator[tuple[tuple[int, int, int], np.ndarray]]:
        """Start (C, Y, X) and bins (c, y, x) of blocks of this shape that cover all channels."""
        count, height, width = self.shape
        for first in range(0, count, chunks[0]):
            channels = range(first, min(first + chunks[0], count))
            for y0 in range(0, height, chunks[1]):
                # whole rows are one read from the disk, narrow ones one each
                y1 = min(y0 + chunks[1], height)
                bins = np.stack([self._planes.read(channel, Window(y0, y1, 0, width)) for channel in channels])
                for x0 in range(0, width, chunks[2]):
                    yield (first, y0, x0), bins[:, :, x0 : x0 + chunks[2]]

    def _window(self, key: tuple[slice, slice, int]) -> Window:
        (y0, y1, _), (x0, x1, _) = (part.indices(size) for part, size in zip(key[:2], self.shape[1:], strict=True))
        return Window(y0, y1, x0, x1)


def check_pixels(pixels: np.ndarray) -> np.ndarray:
    """Return the pixels as they are.

    Raises
    ------
    ValueError
        If some are NaN or infinite.
    """
    if not np.isfinite(pixels).all():
        raise ValueError("the image holds NaN or infinite pixels; replace them, by zeros for instance")
    return pixels


def stream_sample(
    sample: SampleSpec, image: SampleImage, manifest: Manifest, options: PreprocessingOptions, stack: ExitStack
) -> tuple[StreamedBins, PreprocessingStatistics]:
    """Bins and statistics of an image that never lies in memory as a whole.

    The used channels are copied to scratch, so that the file is read once, then resized there if need be, and measured.

    Parameters
    ----------
    sample, image : the sample and its open files
    manifest, options : what the network wants
    stack : closes the scratch of the bins

    Returns
    -------
    bins : uint8 (Y, X, C) at ``model_mpp``, on scratch
    statistics : as ``compute_statistics`` gives them, to the last bit
    """
    roles, shape = manifest.channels, model_shape(sample.shape, sample.image_mpp, manifest.model_mpp)
    is_resized = shape != sample.shape
    height, width = shape
    total = sample.shape[0] * sample.shape[1] * (2 if is_resized else 1) + height * width * (
        STATISTICS_PASSES + is_resized
    )
    with Progress(f"preprocess {sample.sample}", total) as progress, ExitStack() as scratch:
        image.copy_channels(roles, progress.add)

        def read_image(window: Window) -> np.ndarray:
            return check_pixels(image.model_input(roles, window))

        read_window: Callable[[Window], np.ndarray] = read_image
        if is_resized:
            resized = scratch.enter_context(ScratchPlanes((len(roles), *shape), np.float32))
            _resize(read_image, sample.shape, resized, progress)
            read_window = _stacked(resized)

        def read_rows(y0: int, y1: int) -> np.ndarray:
            progress.add((y1 - y0) * width)
            return read_window(Window(y0, y1, 0, width))

        bins = StreamedBins(stack.enter_context(ScratchPlanes((len(roles), *shape), np.uint8)))
        statistics = stream_statistics(
            read_rows, shape, len(roles), options, bins=bins, strip_rows=_strip_rows(width, STRIP_ROWS)
        )
    return bins, statistics


def _strip_rows(width: int, most: int) -> int:
    """Rows of a strip of about ``STRIP_PX`` pixels."""
    return max(min(STRIP_PX // width, most), 1)


def _stacked(planes: ScratchPlanes) -> Callable[[Window], np.ndarray]:
    """Reader of (y, x, C) rectangles."""

    def read(window: Window) -> np.ndarray:
        result = np.empty((*window.shape, planes.shape[0]), planes.dtype)
        for channel in range(planes.shape[0]):
            result[..., channel] = planes.read(channel, window)
        return result

    return read


def _resize(
    read: Callable[[Window], np.ndarray], shape: tuple[int, int], resized: ScratchPlanes, progress: Progress
) -> None:
    """Write the image at the model's pixel size, after a look at its range, which the result is clipped to."""
    lowest, highest = np.inf, -np.inf
    for strip in read_ahead(_strips(shape), read, 1):
        lowest, highest = min(lowest, float(strip.min())), max(highest, float(strip.max()))
        progress.add(strip.shape[0] * strip.shape[1])

    resize_window = choose_resize(resized.shape[0])

    def resize(window: Window) -> tuple[Window, Any]:
        return window, resize_window(read, shape, resized.shape[1:], window, (lowest, highest))

    for window, pixels in read_ahead(_strips(resized.shape[1:]), resize, 1):
        for channel in range(pixels.shape[2]):
            resized.write(channel, window, pixels[..., channel])
        progress.add(window.shape[0] * window.shape[1])


def _strips(shape: tuple[int, int]) -> Iterator[Window]:
    """Cover an image with strips of full width."""
    return cover(shape, (_strip_rows(shape[1], STRIP_ROWS), shape[1]))
