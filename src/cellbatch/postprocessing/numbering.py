"""Other numbers for the labels of an image, looked up as rectangles are read."""

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.watershed import renumber
from cellbatch.geometry.blocks import BlockGrid
from cellbatch.postprocessing.blocks import Readable

BLOCK_PX = 1024


class RenumberedLabels:
    """View of a label image with a number looked up for every label.

    Parameters
    ----------
    labels : array-like with shape and slices, shape (Y, X), integers
    numbers : ndarray of uint32
        New number of each label up to the highest, background included.

    Examples
    --------
    >>> RenumberedLabels(np.array([[0, 2], [2, 1]]), np.array([0, 7, 9], np.uint32))[0:2, 1:2].tolist()
    [[9], [7]]
    """

    dtype = np.dtype(np.uint32)

    def __init__(self, labels: Readable, numbers: NDArray[np.uint32]) -> None:
        self.shape = (int(labels.shape[0]), int(labels.shape[1]))
        self._labels = labels
        self._numbers = numbers

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint32]:
        """Labels of a rectangle."""
        return renumber(self._labels[key], self._numbers)


def close_gaps(labels: Readable) -> RenumberedLabels:
    """View labels as 1 … n in their order, where some numbers occur nowhere.

    Reads the labels once, block by block.

    Parameters
    ----------
    labels : array-like with shape and slices, shape (Y, X), integers from 0

    Returns
    -------
    RenumberedLabels

    Examples
    --------
    >>> close_gaps(np.array([[0, 5], [2, 5]]))[:, :].tolist()
    [[0, 2], [1, 2]]
    """
    is_present = np.zeros(1, np.bool_)
    for core in BlockGrid((int(labels.shape[0]), int(labels.shape[1])), BLOCK_PX).cores():
        block = np.asarray(labels[core.slices]).ravel()
        highest = int(block.max())
        if highest >= len(is_present):
            is_present = np.append(is_present, np.zeros(max(highest + 1 - len(is_present), len(is_present)), np.bool_))
        is_present[block] = True
    is_present[0] = False
    return RenumberedLabels(labels, np.where(is_present, np.cumsum(is_present), 0).astype(np.uint32))
