"""A large table while its rows arrive in any order: a file that has no name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cellbatch.io.closing import Closing
from cellbatch.io.scratch import read_at, scratch_file, write_at

# larger tables lie on disk
MEMORY_BYTES = 1 << 26
# of the pieces that are read back
PIECE_BYTES = 1 << 25


class RowSpool(Closing):
    """Rows (n, columns) of float64, written in any order and read back in order; NaN or 0 where none was written.

    Parameters
    ----------
    rows, columns : size of the table
    memory_bytes : smaller tables stay in memory

    Examples
    --------
    >>> with RowSpool(3, 2) as spool:
    ...     spool.write(np.array([2, 0]), np.array([[5.0, 6.0], [1.0, 2.0]]))
    ...     [piece.tolist() for piece in spool.pieces()]
    [[[1.0, 2.0], [nan, nan], [5.0, 6.0]]]
    """

    def __init__(self, rows: int, columns: int, memory_bytes: int = MEMORY_BYTES) -> None:
        """Take the room."""
        self.rows, self.columns = rows, columns
        self._row_bytes = 8 * columns
        is_small = rows * self._row_bytes <= memory_bytes
        self._values = np.full((rows, columns), np.nan) if is_small else None
        self._file = None if is_small else scratch_file(rows * self._row_bytes)

    def write(self, places: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Write rows (k, columns) at their places in the table, each once."""
        if self._values is not None:
            self._values[places] = values
            return
        assert self._file is not None
        order = np.argsort(places)
        places, values = places[order], np.ascontiguousarray(values[order], np.float64)
        for run in np.split(np.arange(len(places)), np.flatnonzero(np.diff(places) != 1) + 1):
            if len(run):
                write_at(self._file, values[run[0] : run[-1] + 1], int(places[run[0]]) * self._row_bytes)

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Read the rows ``start`` … ``stop - 1``."""
        if self._values is not None:
            return self._values[start:stop]
        assert self._file is not None
        values = np.empty((stop - start, self.columns))
        read_at(self._file, values, start * self._row_bytes)
        return values

    def pieces(self, piece_bytes: int = PIECE_BYTES) -> Iterator[NDArray[np.float64]]:
        """Read the whole table in order, piece by piece; one empty piece where it has no row."""
        step = max(1, piece_bytes // max(1, self._row_bytes))
        for start in range(0, max(1, self.rows), step):
            yield self.read(start, min(self.rows, start + step))

    def close(self) -> None:
        """Give the room back."""
        self._values = None
        if self._file is not None:
            self._file.close()
