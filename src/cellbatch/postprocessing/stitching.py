"""One numbering for labels that were found block by block."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.watershed import OBJECT, BlockLabels, find_small_components, renumber
from cellbatch.spec import Window

_NO_KEY = -1


class Cores(Protocol):
    """What is cut into cores."""

    def cores(self) -> Iterable[Window]:
        """All cores, which partition it."""


class Stitching:
    """Collects blocks, then drops small objects, fills holes and numbers what is left.

    Until `finish` the output holds a provisional number for every piece of an object. Pieces with the same key are one
    object; objects are ordered by their keys.
    """

    def __init__(self, labels: Any) -> None:
        self._labels = labels
        self._pieces: list[NDArray[np.void]] = []
        self._count = 0

    def add(self, core: Window, found: BlockLabels) -> None:
        """Write the labels of a block as provisional numbers, its background too, and keep its objects."""
        background = np.zeros(1, OBJECT)
        background["key"] = _NO_KEY
        found.labels[...] += np.uint32(self._count)
        self._labels[core.slices] = found.labels
        self._pieces += [background, found.objects]
        self._count += 1 + len(found.objects)
        if self._count > np.iinfo(np.uint32).max:
            raise ValueError("more pieces of objects than 32-bit labels can number")

    def finish(self, grid: Cores, small_objects: float, holes: float) -> None:
        """Give the final numbers."""
        pieces = np.concatenate(self._pieces)
        self._pieces = []
        keys, ranks = np.unique(np.append(pieces["key"], _NO_KEY), return_inverse=True)
        ranks = ranks[:-1]
        objects = _join(pieces, ranks, len(keys))
        is_kept = (objects["area"] >= small_objects) & (objects["area"] > 0)
        is_kept[0] = False
        if holes > 0:
            self._fill_holes(objects, ranks, np.flatnonzero(is_kept & (objects["quarters"] < 4)), holes)
        is_present = is_kept & (objects["area"] > 0)
        numbers = np.where(is_present, np.cumsum(is_present), 0).astype(np.uint32)[ranks]
        for core in grid.cores():
            self._labels[core.slices] = renumber(self._labels[core.slices], numbers, is_in_place=True)

    def _fill_holes(
        self, objects: NDArray[np.void], ranks: NDArray[np.intp], candidates: NDArray[np.intp], threshold: float
    ) -> None:
        """Fill the small components of what is not the object within its box, in the order of the objects."""
        pieces = np.zeros(len(objects), np.uint32)
        pieces[ranks[::-1]] = np.arange(len(ranks), dtype=np.uint32)[::-1]
        boxes = np.stack([objects[name][candidates] for name in ("y0", "y1", "x0", "x1")], axis=-1).tolist()
        for rank, (y0, y1, x0, x1) in zip(candidates.tolist(), boxes, strict=True):
            box = (slice(y0, y1), slice(x0, x1))
            view = np.array(self._labels[box])
            held = ranks[view]
            is_filled = find_small_components(held != rank, threshold)
            if not is_filled.any():
                continue
            lost, counts = np.unique(held[is_filled], return_counts=True)
            objects["area"][lost] -= counts
            objects["area"][rank] += counts.sum()
            view[is_filled] = pieces[rank]
            self._labels[box] = view


def _join(pieces: NDArray[np.void], ranks: NDArray[np.intp], count: int) -> NDArray[np.void]:
    """Objects from their pieces: sums of areas and Euler numbers, hulls of boxes."""
    objects = np.zeros(count, OBJECT)
    for name in ("y0", "x0"):
        objects[name] = np.iinfo(np.int32).max
        np.minimum.at(objects[name], ranks, pieces[name])
    for name in ("y1", "x1"):
        np.maximum.at(objects[name], ranks, pieces[name])
    for name in ("area", "quarters"):
        np.add.at(objects[name], ranks, pieces[name])
    return objects
