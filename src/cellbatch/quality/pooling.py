"""Fewer pixels: means of squares for images, picked pixels for labels."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

AnyPixel = TypeVar("AnyPixel", bound=np.generic)


def pool_mean(image: NDArray[np.number], factor: int) -> NDArray[np.float32]:
    """Average squares of ``factor`` px; those at the lower and right border may be cut.

    Parameters
    ----------
    image : (Y, X, C)
    factor : 1 or more

    Returns
    -------
    (ceil(Y / factor), ceil(X / factor), C) float32

    Examples
    --------
    >>> pool_mean(np.arange(6.0).reshape(2, 3, 1), 2)[..., 0].tolist()
    [[2.0, 3.5]]
    """
    pooled = image.astype(np.float32, copy=False)
    if factor == 1:
        return pooled
    for axis in (0, 1):
        size = pooled.shape[axis]
        count = -(-size // factor)
        shape = list(pooled.shape)
        shape[axis] = count
        sums = np.zeros(shape, np.float32)
        for first in range(min(factor, size)):
            # one of each square's rows (columns) at a time: the squares at the border lack the last ones
            place = [slice(None)] * pooled.ndim
            place[axis] = slice(first, None, factor)
            part = pooled[tuple(place)]
            place[axis] = slice(part.shape[axis])
            sums[tuple(place)] += part
        shape = [1] * pooled.ndim
        shape[axis] = count
        pooled = sums / np.minimum(factor, size - factor * np.arange(count)).astype(np.float32).reshape(shape)
    return pooled


def pool_pick(labels: NDArray[AnyPixel], factor: int) -> NDArray[AnyPixel]:
    """Pick the middle pixel of each square of ``factor`` px.

    Parameters
    ----------
    labels : (Y, X)
    factor : 1 or more

    Returns
    -------
    (ceil(Y / factor), ceil(X / factor)), of the same type

    Examples
    --------
    >>> pool_pick(np.arange(15).reshape(3, 5), 2).tolist()
    [[6, 8, 9], [11, 13, 14]]
    """
    if factor == 1:
        return labels
    rows, columns = (np.minimum(np.arange(0, size, factor) + factor // 2, size - 1) for size in labels.shape)
    return labels[np.ix_(rows, columns)]
