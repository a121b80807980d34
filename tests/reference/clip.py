"""The value above which pixels count as bright spots."""

import math

import numpy as np
from numpy.typing import NDArray


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
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile must lie in 0 … 100, found {percentile}")
    values = channel[channel != 0]
    if values.size == 0:
        return None
    position = (values.size - 1) * (percentile / 100)
    rank = math.floor(position)
    fraction = position - rank
    following = min(rank + 1, values.size - 1)
    ranked = np.partition(values, (rank, following))
    low, high = float(ranked[rank]), float(ranked[following])
    difference = float(np.float32(high - low))
    value = low + difference * fraction if fraction < 0.5 else high - difference * (1 - fraction)
    return np.float32(value)
