"""Seeded watershed on four neighbours, with the order of ties that scikit-image 0.25.2 has."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

Labels = NDArray[np.int32]


def flood(surface: NDArray[np.float32], markers: Labels, mask: NDArray[np.bool_]) -> Labels:
    """Grow the markers over the mask, lowest pixels of the surface first.

    Parameters
    ----------
    surface : ndarray of float32, shape (Y, X)
        Height of each pixel.
    markers : ndarray of int32, shape (Y, X)
        Labels to grow; those outside the mask are dropped.
    mask : ndarray of bool, shape (Y, X)
        Pixels that may be flooded.

    Returns
    -------
    ndarray of int32, shape (Y, X)
        0 outside the mask and where no marker reaches. Among pixels of equal height the one reached first goes first.

    Notes
    -----
    scikit-image does the work if it floods as expected, which is tried once per process (0.25.2 and 0.26 do, 0.22 to
    0.25.1 do not); else `flood_by_heap` does, some ten times slower, with the same labels. What differs is the level
    of a pixel below its parent's: from 0.25.2 on it is the parent's, before it was the pixel's own.

    References
    ----------
    F. Meyer, Un algorithme optimal pour la ligne de partage des eaux, 1991, as in ``skimage.segmentation.watershed``.
    """
    if not _is_installed_watershed_exact():
        return flood_by_heap(surface, markers, mask)
    return np.asarray(watershed(surface, markers, mask=mask), np.int32)


def flood_by_heap(surface: NDArray[np.float32], markers: Labels, mask: NDArray[np.bool_]) -> Labels:
    """Do what `flood` does in plain Python, whatever is installed."""
    width = surface.shape[1] + 2
    heights = np.pad(surface, 1).ravel().tolist()
    is_open = np.pad(mask, 1).ravel().tolist()
    labels = np.pad(np.where(mask, markers, 0), 1).ravel().tolist()
    queue = _Heap()
    for pixel, label in enumerate(labels):
        if label:
            queue.push((heights[pixel], 0, pixel))
    age = 0
    while queue.items:
        level, _, pixel = queue.pop()
        for neighbour in (pixel - width, pixel - 1, pixel + 1, pixel + width):
            if is_open[neighbour] and not labels[neighbour]:
                age += 1
                labels[neighbour] = labels[pixel]
                queue.push((max(heights[neighbour], level), age, neighbour))
    return np.array(labels, np.int32).reshape(-1, width)[1:-1, 1:-1].copy()


class _Heap:
    """Binary heap ordered by height, then age; which of two equal items leaves first follows from its shape."""

    def __init__(self) -> None:
        self.items: list[tuple[float, int, int]] = []

    def push(self, item: tuple[float, int, int]) -> None:
        """Add at the end and let it rise."""
        items = self.items
        items.append(item)
        place = len(items) - 1
        while place:
            parent = (place - 1) // 2
            if not item[:2] < items[parent][:2]:
                break
            items[place], items[parent] = items[parent], item
            place = parent

    def pop(self) -> tuple[float, int, int]:
        """Take the first, put the last in its place and let it sink."""
        items = self.items
        first, last = items[0], items.pop()
        if not items:
            return first
        items[0] = last
        place, size = 0, len(items)
        while True:
            smallest = place
            for child in (2 * place + 1, 2 * place + 2):
                if child < size and items[child][:2] < items[smallest][:2]:
                    smallest = child
            if smallest == place:
                return first
            items[place], items[smallest] = items[smallest], last
            place = smallest


@cache
def _is_installed_watershed_exact() -> bool:
    """Whether scikit-image gives the labels of `flood_by_heap` on maps made of ties and off-centre markers."""
    y, x = np.mgrid[:24, :24]
    for levels in (2, 3, 7):
        surface = ((y * y + 3 * x * y + 5 * x) % 11 % levels).astype(np.float32)
        markers = np.where((3 * y + 7 * x + x * y) % 29 == 0, 1 + y * 24 + x, 0).astype(np.int32)
        mask = (y * 5 + x * x) % 13 != 0
        if not np.array_equal(watershed(surface, markers, mask=mask), flood_by_heap(surface, markers, mask)):
            return False
    return True
