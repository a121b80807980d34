"""Decoded pieces of files, kept while rectangles walk over them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from numpy.typing import NDArray


class PieceCache:
    """Decoded strips, tiles or chunks, the least recently used ones dropped first; threads may share it.

    Parameters
    ----------
    limit_bytes : of all pieces together; one larger than half of it is not kept
    """

    def __init__(self, limit_bytes: int) -> None:
        """Begin empty."""
        self._limit = limit_bytes
        self._size = 0
        self._kept: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Piece of this name, if it is kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Hashable, piece: NDArray[Any]) -> None:
        """Keep a piece, and drop old ones to make room."""
        with self._lock:
            if key in self._kept or piece.nbytes > self._limit // 2:
                return
            self._kept[key] = piece
            self._size += piece.nbytes
            while self._size > self._limit:
                self._size -= self._kept.popitem(last=False)[1].nbytes
