"""Sums over labelled regions, strip by strip, so that memory does not grow with the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellbatch.spec import Window

STRIP_PX = 1 << 20
_UINT32_MAX = 2**32 - 1


@dataclass(frozen=True)
class Regions:
    """Size and place of ``n`` labelled regions, in rising order of label.

    Attributes
    ----------
    label : (n,) uint32
    area : (n,) int64, px
    centroid : (n, 2) float64, (y, x) in px; the middle of the first pixel is 0
    bbox : (n, 4) int64, half-open ``y0, x0, y1, x1`` in px
    """

    label: NDArray[np.uint32]
    area: NDArray[np.int64]
    centroid: NDArray[np.float64]
    bbox: NDArray[np.int64]


def check_labels(labels: NDArray[np.integer]) -> None:
    """Refuse what is not a ``(Y, X)`` array of labels 0 … 2³² - 1.

    Raises
    ------
    TypeError
        The array does not hold integers.
    ValueError
        It is not two-dimensional, or a label is negative or too large for uint32.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    if labels.ndim != 2:
        raise ValueError(f"labels must have the axes (Y, X), not the shape {labels.shape}")
    if labels.size and labels.dtype.kind == "i" and int(labels.min()) < 0:
        raise ValueError(f"labels must not be negative, the lowest is {int(labels.min())}")
    if labels.size and labels.dtype.itemsize > 4 and int(labels.max()) > _UINT32_MAX:
        raise ValueError(f"labels must fit uint32, the highest is {int(labels.max())}")


def compact(labels: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.uint32]]:
    """Labels that can index an array, and the label that each index stands for (entry 0 is the background).

    Labels up to the number of pixels are used as they are; sparser ones are renumbered in rising order.

    Parameters
    ----------
    labels : (Y, X) integer

    Returns
    -------
    indices : (Y, X) integer, each below ``len(ids)``
    ids : (k + 1,) uint32
    """
    top = int(labels.max()) if labels.size else 0
    if top <= labels.size:
        return labels, np.arange(top + 1, dtype=np.uint32)
    # A leading background pixel keeps index 0 for label 0 in an image that has none.
    ids, inverse = np.unique(np.concatenate([[0], labels.ravel()]), return_inverse=True)
    return inverse[1:].reshape(labels.shape), ids.astype(np.uint32)


def strips(shape: tuple[int, int], strip_px: int = STRIP_PX) -> Iterator[Window]:
    """Windows of whole rows that cover a ``(Y, X)`` shape in order, each of about ``strip_px`` px."""
    height, width = shape
    rows = max(1, strip_px // max(1, width))
    for y0 in range(0, height, rows):
        yield Window(y0, min(height, y0 + rows), 0, width)


def find_regions(indices: NDArray[np.integer], ids: NDArray[np.uint32]) -> Regions:
    """Area, centroid and box of every label that has at least one pixel.

    Parameters
    ----------
    indices, ids : as ``compact`` returns them

    Returns
    -------
    Regions
        Equal to ``area``, ``centroid`` and ``bbox`` of scikit-image's ``regionprops`` [1]_.

    References
    ----------
    .. [1] https://scikit-image.org/docs/stable/api/skimage.measure.html#skimage.measure.regionprops
    """
    count = len(ids)
    area = np.zeros(count, np.int64)
    sums = np.zeros((2, count))
    low = np.full((2, count), np.iinfo(np.int64).max)
    high = np.full((2, count), -1, np.int64)
    for window in strips(indices.shape):
        flat = indices[window.slices].ravel()
        place = np.flatnonzero(flat)
        index = flat[place].astype(np.intp)
        y, x = np.divmod(place, indices.shape[1])
        area += np.bincount(index, minlength=count)
        for axis, position in enumerate((y + window.y0, x)):
            sums[axis] += np.bincount(index, weights=position, minlength=count)
            np.minimum.at(low[axis], index, position)
            np.maximum.at(high[axis], index, position)
    present = np.flatnonzero(area)
    return Regions(
        label=ids[present],
        area=area[present],
        centroid=(sums[:, present] / area[present]).T,
        bbox=np.concatenate([low[:, present], high[:, present] + 1]).T,
    )
