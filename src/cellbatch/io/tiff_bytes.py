"""Positioned reads of a TIFF file's bytes: threads may share its descriptor."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellbatch.errors import InputError
from cellbatch.io.prefetch import read_together
from cellbatch.spec import Window

# rows of a narrow rectangle that one thread reads one after the other
ROWS_PER_JOB = 64


def read_bytes(descriptor: int, offset: int, size: int, name: str) -> bytes:
    """Exactly ``size`` bytes at ``offset``.

    Raises
    ------
    InputError
        if the file ends before them
    OSError
        if the system cannot read them; it names the file
    """
    parts = []
    while size > 0:
        try:
            part = os.pread(descriptor, min(size, 1 << 30), offset)
        except OSError as error:
            error.filename = name
            raise
        if not part:
            raise InputError(f"{name}: the file ends at byte {offset}, {size} bytes too early; copy it again")
        parts.append(part)
        offset += len(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_rows(
    descriptor: int, start: int, shape: tuple[int, int], dtype: np.dtype[Any], window: Window, name: str
) -> NDArray[Any]:
    """Read a rectangle of a row-major plane of ``shape`` that begins at byte ``start``."""
    width = shape[1]
    if window.x1 - window.x0 == width:
        size = (window.y1 - window.y0) * width * dtype.itemsize
        data = read_bytes(descriptor, start + window.y0 * width * dtype.itemsize, size, name)
        return np.frombuffer(data, dtype).reshape(window.shape)
    result = np.empty(window.shape, dtype)

    def read_some(first: int) -> None:
        for row in range(first, min(first + ROWS_PER_JOB, window.y1)):
            offset = start + (row * width + window.x0) * dtype.itemsize
            size = (window.x1 - window.x0) * dtype.itemsize
            result[row - window.y0] = np.frombuffer(read_bytes(descriptor, offset, size, name), dtype)

    read_together([partial(read_some, first) for first in range(window.y0, window.y1, ROWS_PER_JOB)])
    return result
