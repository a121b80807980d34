"""Size, place and overlap of every label, gathered block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellbatch.spec import Window

Labels = NDArray[np.integer]
_FIELDS = ("area", "inside", "border", "sampled", "y", "x", "channel_0", "channel_1")
# the middle of a label is told by every second row and column: enough to say where in the image it lies
STEP_PX = 2
GROWTH = 1.25


class LabelTally:
    """Sums over the pixels of each label of one compartment.

    Memory grows with the highest label (64 bytes each), not with the image.

    Parameters
    ----------
    shape : (Y, X) of the whole image

    Examples
    --------
    >>> tally = LabelTally((2, 4))
    >>> labels = np.array([[1, 1, 0, 2], [1, 1, 0, 2]], np.uint32)
    >>> tally.add(Window(0, 2, 0, 4), labels, labels == 2)
    >>> tally.area.tolist(), tally.inside.tolist(), tally.is_at_border.tolist()
    ([4, 2], [0, 2], [True, True])
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._sums = np.zeros((len(_FIELDS), 0))

    def add(
        self,
        window: Window,
        labels: Labels,
        other: NDArray[np.generic] | None = None,
        values: NDArray[np.floating] | None = None,
    ) -> None:
        """Count the pixels of one block; each pixel of the image is to be given once.

        Parameters
        ----------
        window : where the block lies in the image
        labels : (Y, X) labels of the block, 0 background
        other : (Y, X), not 0 where another compartment lies
        values : (Y, X, 2) channels that are summed up over each label
        """
        high = int(labels.max(initial=0))
        if not high:
            return
        if high > self._sums.shape[1]:
            # with room for more, so that rising labels are not copied over and over
            wanted = max(high, int(GROWTH * self._sums.shape[1]))
            self._sums = np.pad(self._sums, ((0, 0), (0, wanted - self._sums.shape[1])))
        low = int(labels.min(where=labels > 0, initial=high))
        place = labels if low == 1 else np.where(labels, labels - labels.dtype.type(low - 1), 0)
        self._count("area", low, place.ravel())
        if other is not None:
            self._count("inside", low, place[other != 0])
        if values is not None:
            for channel in (0, 1):
                self._count(f"channel_{channel}", low, place.ravel(), values[..., channel].ravel())
        rows, columns = np.nonzero(place[::STEP_PX, ::STEP_PX])
        sampled = place[::STEP_PX, ::STEP_PX][rows, columns]
        self._count("sampled", low, sampled)
        self._count("y", low, sampled, rows * STEP_PX + window.y0)
        self._count("x", low, sampled, columns * STEP_PX + window.x0)
        for edge in self._edges_at_border(window, place):
            self._count("border", low, edge)

    def _count(
        self, field: str, low: int, place: NDArray[np.integer], weights: NDArray[np.number] | None = None
    ) -> None:
        counted = np.bincount(place, weights)[1:]
        self._sums[_FIELDS.index(field), low - 1 : low - 1 + len(counted)] += counted

    def _edges_at_border(self, window: Window, place: Labels) -> list[Labels]:
        """Rows and columns of a block that lie at the image's border."""
        height, width = self.shape
        edges = (
            (window.y0 == 0, place[0]),
            (window.y1 == height, place[-1]),
            (window.x0 == 0, place[:, 0]),
            (window.x1 == width, place[:, -1]),
        )
        return [edge for is_border, edge in edges if is_border]

    def _field(self, name: str) -> NDArray[np.float64]:
        present = self._sums[0] > 0
        return np.asarray(self._sums[_FIELDS.index(name), present])

    @property
    def area(self) -> NDArray[np.int64]:
        """Area in px of every label that has pixels, in rising order of label, as all arrays here."""
        return self._field("area").astype(np.int64)

    @property
    def inside(self) -> NDArray[np.int64]:
        """How many of its pixels lie in the other compartment."""
        return self._field("inside").astype(np.int64)

    @property
    def means(self) -> NDArray[np.float64]:
        """(n, 2) mean of each channel."""
        return np.stack([self._field("channel_0"), self._field("channel_1")], axis=1) / self._field("area")[:, None]

    @property
    def place(self) -> NDArray[np.float64]:
        """(n, 2) about where (y, x) in px, NaN for a label too small to be met by every second row and column."""
        sampled = self._field("sampled")
        sums = np.stack([self._field("y"), self._field("x")], axis=1)
        return np.where(sampled[:, None] > 0, sums / np.maximum(sampled, 1)[:, None], np.nan)

    @property
    def is_at_border(self) -> NDArray[np.bool_]:
        """Whether it touches the image's border."""
        return self._field("border") > 0
