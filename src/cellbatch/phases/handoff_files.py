"""Hand-offs as a task's worker processes read them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from cellbatch.errors import InputError
from cellbatch.io.handoffs import HandoffReader
from cellbatch.io.piece_cache import PieceCache
from cellbatch.spec import Window

# attributes of a sample in a shard's hand-off: the first row that the shard holds, and how many the image has
FIRST_ROW = "first_row"
ROWS = "rows"
# two blocks of two maps at once, until the next two have taken over the chunks that they share
CACHE_BYTES = 96 << 20


@lru_cache(maxsize=1)
def open_handoff(path: Path) -> HandoffReader:
    """Open a hand-off once per process: the list of entries of a long batch takes its time."""
    return HandoffReader(path)


class ShardedArray:
    """One map (Y, X) of a sample whose rows lie in several hand-offs, read by rectangles.

    Parameters
    ----------
    parts : hand-offs that hold a piece each, in any order
    sample, name : as written

    Raises
    ------
    InputError
        If a piece is missing.
    """

    def __init__(self, parts: Sequence[HandoffReader], sample: str, name: str) -> None:
        self._sample, self._name = sample, name
        self._parts: list[tuple[HandoffReader, int, int]] = []
        height, wanted = 0, 0
        for attributes, reader in sorted(
            ((part.attributes(sample), part) for part in parts), key=lambda found: found[0].get(FIRST_ROW, 0)
        ):
            rows, width = reader.shape(sample, name)
            wanted = attributes.get(ROWS, rows)
            if attributes.get(FIRST_ROW, 0) == height:
                self._parts.append((reader, height, height + rows))
                height += rows
        if height != wanted:
            raise InputError(
                f"sample {sample}: {name} ends at row {height} of {wanted}; the hand-off of a shard is absent: "
                "run the inference again"
            )
        self.shape = (height, width)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Pixels of a rectangle; slices without steps."""
        (y0, y1, _), (x0, x1, _) = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        result = np.empty((max(y1 - y0, 0), max(x1 - x0, 0)), self.dtype)
        for reader, first, end in self._parts:
            low, high = max(y0, first), min(y1, end)
            if low < high and x0 < x1:
                window = Window(low - first, high - first, x0, x1)
                result[low - y0 : high - y0] = reader.read(self._sample, self._name, window)
        return result


def open_heads(paths: Sequence[Path], sample: str, name: str) -> ShardedArray:
    """One head of a sample, over all shards of its batch.

    Parameters
    ----------
    paths : hand-offs of INFER_TILES, in any order
    sample : its name
    name : ``<compartment>_inner_distance`` or ``<compartment>_interior``

    Returns
    -------
    ShardedArray
        ``shape``, ``dtype`` and ``[slice, slice]``, float32 (Y, X) at ``model_mpp``; fit for ``label_by_blocks``

    Raises
    ------
    InputError
        If no hand-off holds the sample, or a shard is absent.
    """
    readers = [reader for reader in map(open_shard, paths) if sample in reader.samples()]
    if not readers:
        raise InputError(f"sample {sample} is in none of {', '.join(path.name for path in paths)}; run inference again")
    return ShardedArray(readers, sample, name)


@lru_cache(maxsize=256)
def open_shard(path: Path) -> HandoffReader:
    """Open one shard's hand-off once per process."""
    return HandoffReader(path, _chunks())


def forget_files() -> None:
    """Let go of the hand-offs that this process has open, so that deleted ones give their disk back."""
    open_handoff.cache_clear()
    open_shard.cache_clear()


@lru_cache(maxsize=1)
def _chunks() -> PieceCache:
    """Chunks that neighbouring blocks share, of all hand-offs of the process."""
    return PieceCache(CACHE_BYTES)
