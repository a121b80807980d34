"""What a channel holds inside each labelled region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellbatch.measurement.regions import strips


def sum_intensity(indices: NDArray[np.integer], channel: NDArray[np.number], count: int) -> NDArray[np.float64]:
    """Sum of a channel over the pixels of each index, added up in float64.

    Parameters
    ----------
    indices : (Y, X) integer below ``count``, 0 background
    channel : (Y, X) of any real type; a NaN makes the sum of its region NaN

    Returns
    -------
    (count,) float64

    Raises
    ------
    ValueError
        Channel and labels differ in shape.
    """
    if channel.shape != indices.shape:
        raise ValueError(f"the channel has the shape {channel.shape}, the labels have {indices.shape}")
    total = np.zeros(count)
    for window in strips((indices.shape[0], indices.shape[1])):
        index, weights = indices[window.slices].ravel(), channel[window.slices].ravel()
        total += np.bincount(index, weights=weights, minlength=count)
    return total
