"""Pixels on disk for the length of a task, in a file without a name, so that nothing is left behind."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import ExitStack
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cellbatch.errors import EngineError
from cellbatch.io.closing import Closing
from cellbatch.spec import Window


def scratch_file(size: int) -> IO[bytes]:
    """Open a nameless file with room for ``size`` bytes.

    It lies in the working folder, which in a task is the task's own, else in the system's temporary folder.

    Raises
    ------
    EngineError
        if the disk has no room for it
    """
    folder = "." if os.access(".", os.W_OK) else tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    try:
        # asked first: an allocation that fails takes all there is for a moment, from everybody
        if size > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)
        with ExitStack() as stack:
            stack.callback(file.close)
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
            stack.pop_all()
    except OSError as error:
        raise EngineError(
            f"the working folder has no room for {size} bytes of scratch ({error.strerror}, {free} are free); "
            "free some disk, or give the task more, and try again"
        ) from error
    return file


def write_at(file: IO[bytes], content: bytes | bytearray | NDArray[Any], offset: int) -> None:
    """Write all bytes of a contiguous array or bytes object at a place; threads may share the file."""
    data = memoryview(content) if isinstance(content, (bytes, bytearray)) else content.reshape(-1).view(np.uint8).data
    while data:
        count = os.pwrite(file.fileno(), data, offset)
        data, offset = data[count:], offset + count


def read_at(file: IO[bytes], values: NDArray[Any], offset: int) -> None:
    """Fill a contiguous array from a place; threads may share the file."""
    data = values.reshape(-1).view(np.uint8).data
    while data:
        count = os.preadv(file.fileno(), [data], offset)
        if not count:
            raise EOFError(f"a scratch file ends {len(data)} bytes early")
        data, offset = data[count:], offset + count


class ScratchPlanes(Closing):
    """Planes ``(C, Y, X)`` in a nameless file, written and read by rectangles; use as a context manager.

    It is read with positioned reads and not mapped: mapped pages would count as the task's memory.

    Parameters
    ----------
    shape : (C, Y, X)
    dtype : type of the pixels

    Raises
    ------
    EngineError
        if the disk has no room for it
    """

    def __init__(self, shape: tuple[int, int, int], dtype: Any) -> None:
        """Create the file with its full length."""
        self.shape = shape
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self._file = scratch_file(int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize)

    def write(self, channel: int, window: Window, pixels: NDArray[Any]) -> None:
        """Write a rectangle of one plane; threads may write different ones at once."""
        values: NDArray[Any] = np.ascontiguousarray(pixels, self.dtype)
        if values.shape != window.shape:
            raise ValueError(f"pixels of shape {values.shape} for {window}")
        if window.x1 - window.x0 == self.shape[2]:
            write_at(self._file, values, self._offset(channel, window.y0, 0))
            return
        for row in range(window.y0, window.y1):
            write_at(self._file, values[row - window.y0], self._offset(channel, row, window.x0))

    def read(self, channel: int, window: Window | None = None) -> NDArray[Any]:
        """Pixels ``(Y, X)`` of one plane, whole or within ``window``."""
        box = window or Window(0, self.shape[1], 0, self.shape[2])
        result: NDArray[Any] = np.empty(box.shape, self.dtype)
        if box.x1 - box.x0 == self.shape[2]:
            read_at(self._file, result, self._offset(channel, box.y0, 0))
            return result
        for row in range(box.y0, box.y1):
            read_at(self._file, result[row - box.y0], self._offset(channel, row, box.x0))
        return result

    def _offset(self, channel: int, y: int, x: int) -> int:
        """Byte at which a pixel begins."""
        return ((channel * self.shape[1] + y) * self.shape[2] + x) * int(self.dtype.itemsize)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()
