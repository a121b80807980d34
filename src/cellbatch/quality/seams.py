"""Cells that end on one straight line: the trace of blocks or tiles that were not joined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellbatch.spec import Window

# A seam may run along a part of the image only, so that lines are judged by stretches of this length.
STRETCH_PX = 512
MIN_CELLS_ALONG = 8
# where few cells lie along a line, those that it cuts are counted: neighbours with a straight border of this length
MIN_CUT_PX = 4
MIN_CUT_SHARE = 0.5
# and only where most of the labelled px along the line belong to them: some borders are straight by chance
MIN_LINE_SHARE = 0.5


@dataclass(frozen=True)
class Seam:
    """The most suspicious stretch of a line.

    Attributes
    ----------
    score : share of the labelled px along it at which a label ends, 0 … 1
    y, x : its middle in px
    """

    score: float
    y: float
    x: float


class SeamCounter:
    """Counts for every line between two rows or two columns how many labelled pixels lie at it and how many end at it.

    Blocks come in raster order and partition the image; only one row and one column of the last blocks is kept.

    Parameters
    ----------
    shape : (Y, X) of the whole image
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        height, width = shape
        self.shape = shape
        self._counts = (
            np.zeros((2, height, -(-width // STRETCH_PX)), np.int32),
            np.zeros((2, width, -(-height // STRETCH_PX)), np.int32),
        )
        # of borders between two labels that run straight along a line: line, stretch, length
        self._straight: tuple[list[NDArray[np.int32]], ...] = ([], [])
        self._above = np.zeros(width, np.uint32)
        self._left: NDArray[np.integer] = np.zeros(0, np.uint32)

    def add(self, window: Window, labels: NDArray[np.integer]) -> None:
        """Count one block.

        Parameters
        ----------
        window : where it lies; its upper left corner is a multiple of ``STRETCH_PX``
        labels : (Y, X) of the block, 0 background
        """
        above = self._above[None, window.x0 : window.x1] if window.y0 else labels[:0]
        left = self._left[:, None] if window.x0 else labels[:, :0]
        rows, columns = np.concatenate([above, labels]), np.concatenate([left, labels], axis=1)
        first_row, first_column = max(window.y0, 1), max(window.x0, 1)
        self._count(0, (rows[:-1], rows[1:]), first_row, window.x0)
        self._count(1, (columns[:, :-1], columns[:, 1:]), first_column, window.y0)
        self._above[window.x0 : window.x1] = labels[-1]
        self._left = labels[:, -1].copy()

    def _count(self, axis: int, pair: tuple[NDArray[np.integer], NDArray[np.integer]], first: int, along: int) -> None:
        """Compare each line of pixels with the next one, stretch by stretch."""
        near, far = pair
        if not near.size:
            return
        starts = np.arange(0, near.shape[1 - axis], STRETCH_PX)
        stretches = slice(along // STRETCH_PX, along // STRETCH_PX + len(starts))
        differs = near != far
        self._straight[axis].append(_straight_borders(axis, pair, differs, first, along))
        for place, hits in enumerate((differs, (near | far) != 0)):
            counted = np.add.reduceat(hits, starts, axis=1 - axis, dtype=np.int32)
            lines = counted if axis == 0 else counted.T
            self._counts[axis][place, first : first + len(lines), stretches] += lines

    def most_cut(self, diameter_px: float) -> int:
        """Count the cells that one straight line cuts, where it cuts the most.

        Parameters
        ----------
        diameter_px : of a usual cell; a border counts that is straight over half of it, and over some px

        Returns
        -------
        int
            Of the stretch with most of them, among those where they hold half of the labelled px.
        """
        most = 0
        for found, (_, present) in zip(self._straight, self._counts, strict=True):
            lines, stretches, lengths = np.concatenate(found, axis=1) if found else np.zeros((3, 0), np.int32)
            kept = lengths >= max(MIN_CUT_PX, MIN_CUT_SHARE * diameter_px)
            places = np.ravel_multi_index((lines[kept], stretches[kept]), present.shape)
            where, numbers, counts = np.unique(places, return_inverse=True, return_counts=True)
            along = np.bincount(numbers, lengths[kept], minlength=len(where))
            most = max(most, int(counts[along >= MIN_LINE_SHARE * present.ravel()[where]].max(initial=0)))
        return most

    def worst(self, diameter_px: float) -> Seam | None:
        """Find the stretch along which the largest share of labelled pixels ends.

        Parameters
        ----------
        diameter_px : of a usual cell; stretches with fewer than ``MIN_CELLS_ALONG`` of these say nothing

        Returns
        -------
        Seam or None
            None where no stretch has enough cells.
        """
        best: Seam | None = None
        for axis, (ends, present) in enumerate(self._counts):
            enough = present >= MIN_CELLS_ALONG * max(diameter_px, 1)
            # at the image's border many cells end a few px inside it
            margin = max(1, int(diameter_px / 2))
            enough[:margin] = enough[-margin:] = False
            if not enough.any():
                continue
            share = np.where(enough, ends / np.maximum(present, 1), 0)
            line, stretch = np.unravel_index(int(share.argmax()), share.shape)
            limit = self.shape[1 - axis]
            middle = (stretch * STRETCH_PX + min((stretch + 1) * STRETCH_PX, limit)) / 2
            y, x = (line, middle) if axis == 0 else (middle, line)
            if best is None or share.max() > best.score:
                best = Seam(float(share.max()), float(y), float(x))
        return best


def _straight_borders(
    axis: int,
    pair: tuple[NDArray[np.integer], NDArray[np.integer]],
    differs: NDArray[np.bool_],
    first: int,
    along: int,
) -> NDArray[np.int32]:
    """Find borders between two labels that run along one line for at least ``MIN_CUT_PX``.

    Returns
    -------
    (3, n) int32
        Line, stretch and length in px of each.
    """
    near, far = pair if axis == 0 else (pair[0].T, pair[1].T)
    touching = differs if axis == 0 else differs.T
    lines, places = np.nonzero(touching & (near != 0) & (far != 0))
    one, other = near[lines, places], far[lines, places]
    goes_on = (np.diff(lines) == 0) & (np.diff(places) == 1) & (one[1:] == one[:-1]) & (other[1:] == other[:-1])
    starts = np.flatnonzero(np.append(True, ~goes_on)[: len(lines)])
    lengths = np.diff(np.append(starts, len(lines)))
    kept = lengths >= MIN_CUT_PX
    stretches = (along + places[starts[kept]]) // STRETCH_PX
    return np.stack([first + lines[starts[kept]], stretches, lengths[kept]]).astype(np.int32)
