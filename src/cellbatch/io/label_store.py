"""Labels of any size while they are made: small compressed tiles in a file that has no name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cellbatch.io.closing import Closing
from cellbatch.io.scratch import write_at

TILE = 256


class LabelStore(Closing):
    """A label image (Y, X) of uint32 on disk, read and written by rectangles; 0 where nothing was written.

    Memory stays at one tile whatever the size: a memory map would count as memory of the task as soon as it is
    touched. Tiles are compressed (about 0.15 bytes per px), and the file is deleted by the system when the process
    ends, however it ends. Rectangles that several threads write must not share a tile with one that is being read.

    Parameters
    ----------
    shape : (Y, X)
    folder : where the file takes its room

    Examples
    --------
    >>> with LabelStore((4, 6), Path(".")) as labels:
    ...     labels[1:3, 2:4] = np.array([[1, 2], [3, 4]], np.uint32)
    ...     labels[2:4, 2:5].tolist()
    [[3, 4, 0], [0, 0, 0]]
    """

    dtype: np.dtype[Any] = np.dtype(np.uint32)

    def __init__(self, shape: tuple[int, int], folder: Path) -> None:
        """Open the file."""
        self.shape = (int(shape[0]), int(shape[1]))
        self._file = tempfile.TemporaryFile(dir=folder)
        self._lock = Lock()
        self._end = 0
        # offset, bytes and room of every tile; no bytes = background
        self._places = np.zeros((-(-shape[0] // TILE), -(-shape[1] // TILE), 3), np.int64)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint32]:
        """Labels of a rectangle; slices without steps."""
        y0, y1, x0, x1 = self._box(key)
        result = np.zeros((y1 - y0, x1 - x0), np.uint32)
        for index, inside, outside in self._pieces(y0, y1, x0, x1):
            if self._places[index][1]:
                result[outside] = self._read(index)[inside]
        return result

    def __setitem__(self, key: tuple[slice, slice], values: NDArray[np.uint32]) -> None:
        """Write a rectangle."""
        y0, y1, x0, x1 = self._box(key)
        if values.shape != (y1 - y0, x1 - x0) or values.dtype != np.uint32:
            raise ValueError(f"labels {values.dtype} {values.shape}, expected uint32 {(y1 - y0, x1 - x0)}")
        for index, inside, outside in self._pieces(y0, y1, x0, x1):
            part = values[outside]
            with self._lock:
                if part.shape != (TILE, TILE):
                    whole = self._read(index).copy() if self._places[index][1] else np.zeros((TILE, TILE), np.uint32)
                    whole[inside] = part
                    part = whole
                self._write(index, part)

    def _box(self, key: tuple[slice, slice]) -> tuple[int, int, int, int]:
        """Bounds of a rectangle."""
        (y0, y1, y_step), (x0, x1, x_step) = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        if (y_step, x_step) != (1, 1):
            raise ValueError("a label store has no steps; read the rectangle and take every other pixel of it")
        return y0, max(y1, y0), x0, max(x1, x0)

    @staticmethod
    def _pieces(
        y0: int, y1: int, x0: int, x1: int
    ) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
        """Tiles under a rectangle, with the common part counted inside the tile and inside the rectangle."""
        for row in range(y0 // TILE, -(-y1 // TILE) if y1 > y0 else 0):
            top, bottom = max(y0, row * TILE), min(y1, (row + 1) * TILE)
            for column in range(x0 // TILE, -(-x1 // TILE) if x1 > x0 else 0):
                left, right = max(x0, column * TILE), min(x1, (column + 1) * TILE)
                inside = (
                    slice(top - row * TILE, bottom - row * TILE),
                    slice(left - column * TILE, right - column * TILE),
                )
                yield (row, column), inside, (slice(top - y0, bottom - y0), slice(left - x0, right - x0))

    def _read(self, index: tuple[int, int]) -> NDArray[np.uint32]:
        """Decode a tile."""
        offset, size, _ = self._places[index]
        data = os.pread(self._file.fileno(), int(size), int(offset))
        return np.frombuffer(imagecodecs.blosc_decode(data, numthreads=1), np.uint32).reshape(TILE, TILE)

    def _write(self, index: tuple[int, int], values: NDArray[np.uint32]) -> None:
        """Encode a tile, into its old place where it fits."""
        if not values.any():
            self._places[index][1] = 0
            return
        data = imagecodecs.blosc_encode(
            values.tobytes(), level=1, compressor="lz4", shuffle="shuffle", typesize=4, numthreads=1
        )
        offset, _, room = self._places[index]
        if len(data) > room:
            offset, room = self._end, len(data)
            self._end += room
        write_at(self._file, data, int(offset))
        self._places[index] = offset, len(data), room

    def close(self) -> None:
        """Give the room back."""
        self._file.close()
