"""Labels too large for a block: measured strip by strip, so that memory stays that of a strip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.measurement import INTENSITY_NAMES, RUN, Runs, find_runs, measure_channel
from cellbatch.measurement.intensities import kernel_channel
from cellbatch.measurement.regions import MeasuredImage, contiguous_labels
from cellbatch.spec import Window

# bits of a value that one pass of the search for the median settles
DIGIT_BITS = 16


@dataclass(frozen=True)
class _Strip:
    """Rows of the window, and the label's runs of each compartment in them, counted from the strip's first pixel."""

    window: Window
    regions: tuple[Runs, ...]


def measure_giant(
    image: MeasuredImage, label: int, window: Window, strip_px: int
) -> tuple[list[Runs], NDArray[np.float64]]:
    """Pixels and intensities of one label.

    Parameters
    ----------
    image : gives labels and channels
    label : to measure
    window : that holds all its pixels and those of its nuclei
    strip_px : pixels of a strip

    Returns
    -------
    regions : the label's runs in each compartment, counted from the window's first pixel
    intensities : (1, compartments * statistics * channels) float64, as ``measure_intensities`` gives them
    """
    strips = list(_strips(image, label, window, strip_px))
    count = len(strips[0].regions)
    values = np.empty((1, count, len(INTENSITY_NAMES), len(image.channel_names)))
    for position in range(len(image.channel_names)):
        for place in range(count):

            def read(position: int = position, place: int = place) -> Iterator[tuple[Runs, NDArray[np.number]]]:
                for strip in strips:
                    if len(strip.regions[place].runs):
                        yield strip.regions[place], kernel_channel(image.read_channel(position, strip.window))

            values[0, place, :, position] = _summarize(read)
    return [_join([strip.regions[place] for strip in strips], strips) for place in range(count)], values.reshape(1, -1)


def _strips(image: MeasuredImage, label: int, window: Window, strip_px: int) -> Iterator[_Strip]:
    ids = np.array([label], np.uint32)
    rows = max(1, strip_px // window.shape[1])
    for y0 in range(window.y0, window.y1, rows):
        strip = Window(y0, min(window.y1, y0 + rows), window.x0, window.x1)
        box = np.array([[0, 0, *strip.shape]], np.int64)
        labels = contiguous_labels(image.read_labels(strip))
        regions = [find_runs(labels, ids, box)]
        if image.read_nuclei is not None:
            nuclei = contiguous_labels(image.read_nuclei(strip))
            regions += [find_runs(nuclei, ids, box), find_runs(labels, ids, box, excluded=nuclei)]
        yield _Strip(strip, tuple(regions))


def _join(parts: list[Runs], strips: list[_Strip]) -> Runs:
    """Give the runs of all strips, counted from the first strip's first pixel."""
    runs = np.concatenate([part.runs for part in parts]) if parts else np.empty(0, RUN)
    below = [np.full(len(p.runs), s.window.y0 - strips[0].window.y0) for p, s in zip(parts, strips, strict=True)]
    runs["y"] += np.concatenate(below).astype(np.int32)
    return Runs(runs, np.array([0, len(runs)], np.int64))


def _summarize(read: Callable[[], Iterator[tuple[Runs, NDArray[np.number]]]]) -> NDArray[np.float64]:
    """Statistics in the order of ``INTENSITY_NAMES``, joined from strips."""
    parts = []
    for runs, channel in read():
        mean, _, low, high, deviation, total = measure_channel(runs, channel)[0]
        parts.append((int((runs.runs["x1"] - runs.runs["x0"]).sum()), mean, low, high, deviation, total))
    if not parts:
        return np.array([np.nan] * 5 + [0.0])
    count, mean, low, high, deviation, total = np.array(parts).T
    pixels = count.sum()
    whole_mean = total.sum() / pixels
    # Chan, Golub and LeVeque 1979: squares around the parts' means, then those of the means around the whole's
    squares = (count * deviation**2).sum() + (count * (mean - whole_mean) ** 2).sum()
    median = np.nan if np.isnan(whole_mean) else _median(read, int(pixels))
    return np.array([whole_mean, median, low.min(), high.max(), np.sqrt(squares / pixels), total.sum()])


def _median(read: Callable[[], Iterator[tuple[Runs, NDArray[np.number]]]], count: int) -> float:
    """Exact median by counting digits, from the highest on, in as many passes as a value has digits."""
    ranks = {(count - 1) // 2, count // 2}
    return float(np.mean([_ranked(read, rank) for rank in ranks]))


def _ranked(read: Callable[[], Iterator[tuple[Runs, NDArray[np.number]]]], rank: int) -> float:
    """Value with ``rank`` values before it."""
    prefix, shift, dtype = 0, None, np.dtype(np.uint8)
    while shift is None or shift > 0:
        histogram = np.zeros(1 << DIGIT_BITS, np.int64)
        for runs, channel in read():
            dtype = channel.dtype
            keys = _ordered_keys(_gather(runs, channel))
            if shift is None:
                shift = 8 * dtype.itemsize
            step = min(DIGIT_BITS, shift)
            # shifts in two parts: by all 64 bits at once they would be undefined
            inside = keys >> np.uint64(shift // 2) >> np.uint64(shift - shift // 2) == prefix
            digits = keys[inside] >> np.uint64(shift - step) & np.uint64((1 << step) - 1)
            histogram += np.bincount(digits.astype(np.intp), minlength=len(histogram))
        assert shift is not None
        step = min(DIGIT_BITS, shift)
        passed = np.cumsum(histogram)
        digit = int(np.searchsorted(passed, rank, side="right"))
        rank -= int(passed[digit] - histogram[digit])
        prefix, shift = prefix << step | digit, shift - step
    return _value_of(prefix, dtype)


def _gather(runs: Runs, channel: NDArray[np.number]) -> NDArray[np.number]:
    """Pixels of the runs, one after the other."""
    lengths = (runs.runs["x1"] - runs.runs["x0"]).astype(np.int64)
    first = runs.runs["y"].astype(np.int64) * channel.shape[1] + runs.runs["x0"]
    behind = np.cumsum(lengths) - lengths
    return channel.ravel()[np.repeat(first - behind, lengths) + np.arange(lengths.sum())]


def _ordered_keys(values: NDArray[np.number]) -> NDArray[np.uint64]:
    """Unsigned integers in the same order as the values."""
    bits = 8 * values.dtype.itemsize
    keys = values.view(f"u{values.dtype.itemsize}").astype(np.uint64)
    if values.dtype.kind == "u":
        return keys
    sign = np.uint64(1 << (bits - 1))
    if values.dtype.kind == "i":
        return keys ^ sign
    everything = np.uint64((1 << bits) - 1)
    return np.where(keys & sign, keys ^ everything, keys | sign)


def _value_of(key: int, dtype: np.dtype[np.generic]) -> float:
    """Inverse of ``_ordered_keys`` for one key."""
    bits = 8 * dtype.itemsize
    sign = 1 << (bits - 1)
    if dtype.kind == "i":
        key ^= sign
    elif dtype.kind == "f":
        key = key ^ sign if key & sign else key ^ ((1 << bits) - 1)
    return float(np.array([key], f"u{dtype.itemsize}").view(dtype)[0])
