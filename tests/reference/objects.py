"""Clean-up of labels: small objects, holes, numbers without gaps."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[np.int32]


def drop_small_objects(labels: Labels, threshold: float) -> Labels:
    """Set labels with fewer than `threshold` px to 0.

    Parameters
    ----------
    labels : ndarray of int32, shape (Y, X)
        Not changed.
    threshold : float
        In px; 0 keeps everything.

    Returns
    -------
    ndarray of int32, shape (Y, X)
    """
    areas = np.bincount(labels.ravel())
    kept = np.arange(areas.size, dtype=np.int32)
    kept[areas < threshold] = 0
    return kept[labels]


def euler_numbers(labels: Labels) -> NDArray[np.int64]:
    """Pieces minus holes of every label, with 8-connected pieces and 4-connected holes.

    A label's pixels are closed squares; its Euler number is corners - edges + squares, each counted once however many
    of the label's pixels touch it.

    Parameters
    ----------
    labels : ndarray of int32, shape (Y, X)

    Returns
    -------
    ndarray of int64, shape (labels.max() + 1,)
        By label; the entry of the background means nothing.

    References
    ----------
    S. B. Gray, Local properties of binary images in two dimensions, IEEE Trans. Computers C-20, 1971.
    """
    framed = np.pad(labels, 1)
    size = int(labels.max()) + 1
    above, below = framed[:-1], framed[1:]
    left, right = framed[:, :-1], framed[:, 1:]
    first, second, third, fourth = above[:, :-1], above[:, 1:], below[:, :-1], below[:, 1:]
    corners = (
        _count(first, size)
        + _count(second[second != first], size)
        + _count(third[(third != first) & (third != second)], size)
        + _count(fourth[(fourth != first) & (fourth != second) & (fourth != third)], size)
    )
    edges = _count(above, size) + _count(below[below != above], size)
    edges += _count(left, size) + _count(right[right != left], size)
    return corners - edges + _count(framed, size)


def _count(values: Labels, size: int) -> NDArray[np.int64]:
    """How often each of the labels 0 … size - 1 occurs."""
    return np.bincount(values.ravel(), minlength=size)


def fill_holes(labels: Labels, threshold: float) -> Labels:
    """Fill the holes of each object that are smaller than `threshold` px.

    Tight boxes and Euler numbers are taken once, before any fill. Then, in ascending order, each label with an Euler
    number below 1 is read again inside its box, earlier fills included; the 4-connected components of everything else
    in the box that are smaller than the threshold become the label, whatever they held and even at the box's edge.

    Parameters
    ----------
    labels : ndarray of int32, shape (Y, X)
        Not changed.
    threshold : float
        In px; 0 fills nothing.

    Returns
    -------
    ndarray of int32, shape (Y, X)

    References
    ----------
    Hole rule of deepcell-toolbox 0.12.1, described in the method documentation of this project.
    """
    filled = labels.copy()
    if threshold <= 0:
        return filled
    boxes = ndimage.find_objects(labels)
    for label in np.flatnonzero(euler_numbers(labels) < 1):
        box = boxes[label - 1] if label else None
        if box is None:
            continue
        view = filled[box]
        components, _ = ndimage.label(view != label)
        is_small = np.bincount(components.ravel()) < threshold
        is_small[0] = False
        view[is_small[components]] = label
    return filled


def renumber(labels: Labels) -> NDArray[np.uint32]:
    """Replace the labels by 1 … n in their order, without gaps.

    Parameters
    ----------
    labels : ndarray of int32, shape (Y, X)

    Returns
    -------
    ndarray of uint32, shape (Y, X)
    """
    is_present = np.zeros(int(labels.max()) + 1, bool)
    is_present[labels] = True
    is_present[0] = False
    numbers = np.where(is_present, np.cumsum(is_present), 0).astype(np.uint32)
    return numbers[labels]
