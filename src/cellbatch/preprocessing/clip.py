"""The value above which pixels count as bright spots."""

import math

import numpy as np
from numpy.typing import NDArray

import cellbatch._native.contrast as contrast

_HALVES = 1 << 16
_HIGHEST = (1 << 32) - 1


def nonzero_percentile(channel: NDArray[np.float32], percentile: float) -> np.float32 | None:
    """Percentile of the non-zero pixels of one channel, the same with every NumPy version.

    Between two ranks the value is interpolated in double from whichever is nearer, with their difference rounded to
    float32 first; the result is rounded to float32.

    Parameters
    ----------
    channel : ndarray of float32, shape (Y, X)
        Negative values count as non-zero.
    percentile : float
        0 … 100.

    Returns
    -------
    float32 or None
        None for a channel of zeros.

    Raises
    ------
    ValueError
        If `percentile` is outside 0 … 100.

    References
    ----------
    Histogram clipping of DeepCell 0.12.10 with NumPy 1.26's linear percentile, described in the method documentation
    of this project.

    Examples
    --------
    >>> float(nonzero_percentile(np.array([[0, 1, 2, 3]], np.float32), 50))
    2.0
    """
    search = PercentileSearch(percentile)
    search.count(np.asarray(channel, np.float32))
    search.refine(np.asarray(channel, np.float32))
    return search.value()


class PercentileSearch:
    """`nonzero_percentile` of a channel that comes in pieces: all of them twice, in any order.

    A radix selection: the first pass counts the values by the upper 16 of their bits, the second pass those that share
    the upper half of the wanted rank by the lower 16.

    Parameters
    ----------
    percentile : float
        0 … 100.

    Raises
    ------
    ValueError
        If `percentile` is outside 0 … 100.
    """

    def __init__(self, percentile: float) -> None:
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile must lie in 0 … 100, found {percentile}")
        self._fraction = percentile / 100
        self._upper_counts = np.zeros(_HALVES, np.int64)
        self._lower_counts = np.zeros(_HALVES, np.int64)
        self._upper: int | None = None
        self._above = _HIGHEST

    def count(self, channel: NDArray[np.float32]) -> None:
        """First pass over a piece (y, x)."""
        contrast.count_upper_halves(channel, self._upper_counts)

    def refine(self, channel: NDArray[np.float32]) -> None:
        """Second pass over a piece (y, x), after the first pass over all."""
        if self._upper is None:
            rank, _ = self._rank()
            self._upper = int(np.searchsorted(np.cumsum(self._upper_counts), rank, side="right"))
        if self._upper < _HALVES:
            self._above = contrast.count_lower_halves(channel, self._upper, self._lower_counts, self._above)

    def value(self) -> np.float32 | None:
        """Percentile, after both passes; None if all values are zero."""
        count = int(self._upper_counts.sum())
        if count == 0 or self._upper is None:
            return None
        rank, gap = self._rank()
        rank -= int(self._upper_counts[: self._upper].sum())
        totals = np.cumsum(self._lower_counts)
        lower = int(np.searchsorted(totals, rank, side="right"))
        next_lower = int(np.searchsorted(totals, rank + 1, side="right"))
        low = self._upper << 16 | lower
        high = self._upper << 16 | next_lower if next_lower < _HALVES else self._above
        ends = [float(contrast.value_of_bits(bits)) for bits in (low, low if high == _HIGHEST else high)]
        difference = float(np.float32(ends[1] - ends[0]))
        value = ends[0] + difference * gap if gap < 0.5 else ends[1] - difference * (1 - gap)
        return np.float32(value)

    def _rank(self) -> tuple[int, float]:
        """Rank of the percentile among the non-zero values, and how far towards the next one it lies."""
        position = (int(self._upper_counts.sum()) - 1) * self._fraction
        return math.floor(position), position - math.floor(position)
