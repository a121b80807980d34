"""Writing a hand-off file, whole arrays or block by block."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cellbatch.io.atomic import atomic_path
from cellbatch.io.handoff_format import (
    DTYPES,
    ENTRY_DATE,
    ROOT,
    array_document,
    array_prefix,
    chunk_indices,
    chunk_shape,
    encode_chunk,
    group_document,
)
from cellbatch.spec import Window


class HandoffArray:
    """One array of a hand-off file while it is written, block by block."""

    def __init__(self, writer: HandoffWriter, prefix: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Fix shape, type and chunks."""
        self._writer = writer
        self.prefix = prefix
        self.shape = shape
        self.dtype = dtype
        self.chunks = chunk_shape(shape, dtype)
        self._missing = set(chunk_indices(shape, self.chunks))

    def write(self, start: tuple[int, ...], block: NDArray[Any]) -> None:
        """Write the chunks that a block consists of.

        Parameters
        ----------
        start : index of the block's first element, a multiple of ``chunks`` along every axis
        block : same type as the array; ends at a chunk border or at the end of the array

        Raises
        ------
        ValueError
            if the block is not aligned, or one of its chunks has been written before
        """
        if block.dtype != self.dtype or block.ndim != len(self.shape):
            raise ValueError(f"{self.prefix}: block of {block.dtype} {block.shape}, expected {self.dtype} {self.shape}")
        stop = tuple(first + size for first, size in zip(start, block.shape, strict=True))
        for first, last, size, chunk in zip(start, stop, self.shape, self.chunks, strict=True):
            if first % chunk or last > size or (last % chunk and last != size):
                raise ValueError(f"{self.prefix}: block {start} to {stop} is not aligned to chunks of {self.chunks}")
        ranges = [range(a // c, -(-b // c)) for a, b, c in zip(start, stop, self.chunks, strict=True)]
        for index in product(*ranges):
            where = tuple(slice(i * c - a, (i + 1) * c - a) for i, c, a in zip(index, self.chunks, start, strict=True))
            self._write_chunk(index, block[where])

    def _write_chunk(self, index: tuple[int, ...], values: NDArray[Any]) -> None:
        """Encode and store one chunk, filled up at the border."""
        if index not in self._missing:
            raise ValueError(f"{self.prefix}: chunk {index} is written twice")
        if values.shape != self.chunks:
            full = np.zeros(self.chunks, self.dtype)
            full[tuple(slice(size) for size in values.shape)] = values
            values = full
        key = "/".join([f"{self.prefix}/c", *map(str, index)])
        self._writer._store(key, encode_chunk(values))
        self._missing.discard(index)

    def finish(self) -> None:
        """Prove that every chunk has been written."""
        if self._missing:
            raise ValueError(f"{self.prefix}: {len(self._missing)} chunks of shape {self.chunks} were never written")


class HandoffParts:
    """An array (Y, X) of a hand-off file that is written by rectangles of any size and place, each pixel once.

    It holds the chunks that are begun and not yet full: for rectangles in raster order, one row of chunks.

    Parameters
    ----------
    array : begun by ``HandoffWriter.create``
    """

    def __init__(self, array: HandoffArray) -> None:
        """Nothing is written yet."""
        self._array = array
        self._begun: dict[tuple[int, int], tuple[NDArray[Any] | None, int]] = {}

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write the pixels (y, x) of a rectangle.

        Raises
        ------
        ValueError
            if they have another shape, or some of them have been written before
        """
        if values.shape != window.shape:
            raise ValueError(f"{self._array.prefix}: pixels of shape {values.shape} for {window}")
        (height, width), (rows, columns) = self._array.shape, self._array.chunks
        for row in range(window.y0 // rows, -(-window.y1 // rows)):
            y0, y1 = max(window.y0, row * rows), min(window.y1, (row + 1) * rows)
            for column in range(window.x0 // columns, -(-window.x1 // columns)):
                x0, x1 = max(window.x0, column * columns), min(window.x1, (column + 1) * columns)
                start = (row * rows, column * columns)
                size = (min(rows, height - start[0]), min(columns, width - start[1]))
                chunk, done = self._begun.pop(start, (None, 0))
                chunk = np.zeros(size, self._array.dtype) if chunk is None else chunk
                inside = values[y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0]
                chunk[y0 - start[0] : y1 - start[0], x0 - start[1] : x1 - start[1]] = inside
                if done + inside.size < chunk.size:
                    self._begun[start] = chunk, done + inside.size
                else:
                    self._array.write(start, chunk)


class HandoffWriter:
    """Write a hand-off file; use as a context manager.

    Parameters
    ----------
    path : file to write; it appears when the context ends without an error
    """

    def __init__(self, path: Path) -> None:
        """Nothing is created before the context is entered."""
        self._path = Path(path)
        self._lock = threading.Lock()
        self._arrays: list[HandoffArray] = []
        self._attributes: dict[str, dict[str, Any]] = {}
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        """Create the file under a temporary name."""
        self._atomic: AbstractContextManager[Path] = atomic_path(self._path)
        temporary = self._atomic.__enter__()
        try:
            self._zip = zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True)
        except BaseException as failure:
            self._atomic.__exit__(type(failure), failure, failure.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the groups, close the file, and give it its name."""
        try:
            if error is None:
                self._finish()
            self._zip.close()
        except BaseException as failure:
            # what could not be written is tried again by this, in vain
            with suppress(Exception):
                self._zip.close()
            self._atomic.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._atomic.__exit__(kind, error, trace)

    def write(self, sample: str, name: str, array: NDArray[Any], attributes: Mapping[str, Any] | None = None) -> None:
        """Write a whole array under ``<sample>/<name>``.

        Parameters
        ----------
        sample, name : names without slashes
        array : any shape; bool, integers, float32 or float64
        attributes : plain values kept with the sample, merged with what earlier calls gave

        Raises
        ------
        ValueError
            if this name has been written before, or a value is not finite
        """
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        target = self.create(sample, name, native.shape, native.dtype)
        if native.size:
            target.write((0,) * native.ndim, native)
        if attributes is not None:
            self.write_attributes(sample, attributes)

    def create(self, sample: str, name: str, shape: tuple[int, ...], dtype: Any) -> HandoffArray:
        """Begin an array that is written block by block; every chunk must be written before the file is closed.

        Raises
        ------
        ValueError
            if this name has been written before or the type is not stored
        """
        kind = np.dtype(dtype).newbyteorder("=")
        prefix = array_prefix(sample, name)
        if kind.name not in DTYPES:
            raise ValueError(f"{prefix}: arrays of {kind.name} are not stored; expected one of {', '.join(DTYPES)}")
        with self._lock:
            if prefix in self._names:
                raise ValueError(f"{prefix} is written twice")
            self._names.add(prefix)
            self._attributes.setdefault(sample, {})
        array = HandoffArray(self, prefix, tuple(int(size) for size in shape), kind)
        self._arrays.append(array)
        self._store(f"{prefix}/{ROOT}", array_document(array.shape, array.dtype, array.chunks))
        return array

    def write_attributes(self, sample: str, attributes: Mapping[str, Any]) -> None:
        """Keep plain values with a sample, merged with what earlier calls gave."""
        array_prefix(sample, "attributes")
        with self._lock:
            self._attributes.setdefault(sample, {}).update(attributes)

    def _store(self, key: str, data: bytes) -> None:
        """Append one entry; the date is fixed so that equal content gives equal bytes."""
        entry = zipfile.ZipInfo(key, ENTRY_DATE)
        entry.external_attr = 0o644 << 16
        with self._lock:
            self._zip.writestr(entry, data)

    def discard(self, sample: str) -> None:
        """Forget a sample that went wrong: what is stored of it already belongs to no sample."""
        with self._lock:
            self._attributes.pop(sample, None)
            self._arrays = [array for array in self._arrays if not array.prefix.startswith(f"{sample}/")]

    def samples(self) -> tuple[str, ...]:
        """List the samples with arrays or attributes so far, sorted."""
        return tuple(sorted(self._attributes))

    def _finish(self) -> None:
        """Prove that all arrays are complete, then write the groups."""
        for array in self._arrays:
            array.finish()
        for sample in sorted(self._attributes):
            self._store(f"{sample}/{ROOT}", group_document(self._attributes[sample]))
        self._store(ROOT, group_document({"samples": sorted(self._attributes)}))
