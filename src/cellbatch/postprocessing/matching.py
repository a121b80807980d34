"""Which cell each nucleus belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellbatch.postprocessing.numbering import RenumberedLabels

_SHIFT = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
# pairs that may wait before equal ones are added up
MERGED_PAIRS = 1 << 20


@dataclass(frozen=True)
class NucleusMatching:
    """Cells of all nuclei of an image.

    Attributes
    ----------
    table : ndarray of uint32, shape (nuclei, 3)
        Columns nucleus (1 … n, in order), cell (0 for an orphan), overlap_px (pixels of the nucleus in that cell, 0
        for an orphan).
    cells : int
        How many cells the image has, 1 … `cells`.
    """

    table: NDArray[np.uint32]
    cells: int

    def numbers(self) -> NDArray[np.uint32]:
        """Cell of each nucleus as a lookup, background included."""
        return np.append(np.zeros(1, np.uint32), self.table[:, 1])

    def apply(self, nuclear: Any) -> RenumberedLabels:
        """View the nuclei with the numbers of their cells; orphans are background."""
        return RenumberedLabels(nuclear, self.numbers())

    def counts(self) -> dict[str, int]:
        """Count nuclei and cells, cells with no, one and several nuclei, and orphans (nuclei without a cell)."""
        nuclei = np.bincount(self.table[:, 1], minlength=self.cells + 1)
        return {
            "nuclei": len(self.table),
            "cells": self.cells,
            "cells_without_nucleus": int(np.count_nonzero(nuclei[1:] == 0)),
            "cells_with_one_nucleus": int(np.count_nonzero(nuclei[1:] == 1)),
            "cells_with_several_nuclei": int(np.count_nonzero(nuclei[1:] > 1)),
            "orphan_nuclei": int(nuclei[0]),
        }


def match_nuclei(blocks: Iterable[tuple[ArrayLike, ArrayLike]]) -> NucleusMatching:
    """Give each nucleus the cell that holds most of it, if that is at least half of its area.

    Parameters
    ----------
    blocks : pairs of arrays of integers, shape (Y, X) each
        Nuclear and whole-cell labels of pieces that partition an image, in any order; numbers 1 … n without gaps,
        background 0. An object may lie in several pieces.

    Returns
    -------
    NucleusMatching

    Raises
    ------
    ValueError
        If the two labels of a piece differ in shape, or a number of a nucleus is missing.

    Notes
    -----
    - Two cells that hold exactly half of a nucleus each: the one with the smaller number has it.
    - Several nuclei in one cell all carry its number; a cell without a nucleus carries none.
    - A nucleus of which no cell holds half is an orphan: cell 0.

    Costs one comparison per px and a sort of the runs of equal pairs along the rows.

    Examples
    --------
    >>> nuclear = np.array([[1, 1, 0, 2, 2, 2]])
    >>> whole_cell = np.array([[3, 3, 0, 0, 0, 1]])
    >>> match_nuclei([(nuclear, whole_cell)]).table.tolist()
    [[1, 3, 2], [2, 0, 0]]
    """
    cells = 0
    keys, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    pending: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []
    waiting = 0
    for nuclear, whole_cell in blocks:
        nucleus, cell = np.asarray(nuclear), np.asarray(whole_cell)
        if nucleus.shape != cell.shape:
            raise ValueError(f"nuclear labels {nucleus.shape} and whole-cell labels {cell.shape} differ in shape")
        cells = max(cells, int(cell.max(initial=0)))
        found = _count_pairs(nucleus.ravel(), cell.ravel())
        pending.append(found)
        waiting += len(found[0])
        # merged now and then, so that memory follows the number of nuclei and the time stays linear
        if waiting > max(len(keys), MERGED_PAIRS):
            keys, counts = _merge([(keys, counts), *pending])
            pending, waiting = [], 0
    keys, counts = _merge([(keys, counts), *pending])
    return NucleusMatching(_decide(keys, counts), cells)


def _count_pairs(
    nucleus: NDArray[np.integer], cell: NDArray[np.integer]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Pairs (nucleus, cell) as one number each, ascending, and how many px have them; nuclei only."""
    is_new = np.empty(len(nucleus), np.bool_)
    is_new[:1] = True
    np.not_equal(nucleus[1:], nucleus[:-1], out=is_new[1:])
    is_new[1:] |= cell[1:] != cell[:-1]
    starts = np.flatnonzero(is_new)
    lengths = np.diff(starts, append=len(nucleus))
    is_nucleus = nucleus[starts] > 0
    starts, lengths = starts[is_nucleus], lengths[is_nucleus]
    keys = nucleus[starts].astype(np.uint64) << _SHIFT | cell[starts].astype(np.uint64)
    return _merge([(keys, lengths)])


def _merge(
    parts: list[tuple[NDArray[np.uint64], NDArray[np.int64]]],
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Add up equal keys."""
    keys = np.concatenate([keys for keys, _ in parts])
    counts = np.concatenate([counts for _, counts in parts])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, np.intp)
    return keys[first], np.add.reduceat(counts[order], first) if len(keys) else counts


def _decide(keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Apply the rule to the sorted pairs."""
    nuclei = (keys >> _SHIFT).astype(np.int64)
    cells = (keys & _LOW).astype(np.int64)
    number = int(nuclei[-1]) if len(nuclei) else 0
    area = np.zeros(number + 1, np.int64)
    np.add.at(area, nuclei, counts)
    if number and area[1:].min() == 0:
        raise ValueError(f"nuclear labels end at {number}, but {int(np.argmin(area[1:])) + 1} occurs nowhere")
    table = np.zeros((number, 3), np.uint32)
    table[:, 0] = np.arange(1, number + 1)
    # at most two cells can hold half each; in descending order the smaller number is written last
    is_held = np.flatnonzero((cells > 0) & (2 * counts >= area[nuclei]))[::-1]
    table[nuclei[is_held] - 1, 1] = cells[is_held]
    table[nuclei[is_held] - 1, 2] = counts[is_held]
    return table
