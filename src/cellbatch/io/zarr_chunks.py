"""Which stored parts of a Zarr array exist: writers may leave out empty ones, and broken copies lose others."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cellbatch.io.zarr_codecs import coding_of
from cellbatch.spec import Window

if TYPE_CHECKING:
    import zarr

ABSENT = np.iinfo(np.uint64).max
# chunks above this size once decoded are named in the plan with their memory
LARGE_CHUNK_BYTES = 32 << 20
INDEX_ENTRY = 16
# a plane of more chunks than this, of which fewer than one in so many can be stored, is none that was written
MANY_CHUNKS = 1_000_000
RAREST = 1000


def chunk_memory(array: zarr.Array[Any]) -> int:
    """Memory that one chunk takes, before and after decoding, where chunks are large; else 0."""
    size = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
    return 2 * size if size > LARGE_CHUNK_BYTES else 0


def count_chunks(array: zarr.Array[Any], axes: str) -> int:
    """Chunks over the Y and X axes of one channel."""
    return math.prod(-(-array.shape[at] // array.chunks[at]) for at, axis in enumerate(axes) if axis in "yx")


def _check_plausible(root: Path, array: zarr.Array[Any], axes: str) -> None:
    """Refuse an array whose header claims far more chunks than its files can hold: looking for each would not end.

    Raises
    ------
    ValueError
        with both numbers
    """
    claimed = count_chunks(array, axes)
    if claimed <= MANY_CHUNKS:
        return
    held = math.prod(array.shards or (1,)) // math.prod(array.chunks if array.shards else (1,))
    stored = held * sum(len(files) for _, _, files in os.walk(root))
    if stored * RAREST < claimed:
        raise ValueError(f"its header claims {claimed} chunks per plane, and its files can hold {stored}")


def absent_chunks(root: Path, array: zarr.Array[Any], axes: str, place: Mapping[str, int]) -> Iterator[Window]:
    """Rectangles of a plane whose chunk is not stored, so that reading gives the fill value.

    Parameters
    ----------
    root : folder of the array
    array : the open array; sharded ones count by the chunks inside their shards
    axes : one letter per axis
    place : index of the plane along every axis but y and x

    Yields
    ------
    Window
        clipped to the image

    References
    ----------
    Zarr 3, sharding codec 1.0: an inner chunk that is not stored has offset and length 2⁶⁴ - 1.
    """
    _check_plausible(root, array, axes)
    outer = array.shards or array.chunks
    size = {axis: array.shape[at] for at, axis in enumerate(axes)}
    step = {axis: array.chunks[at] for at, axis in enumerate(axes)}
    chosen = {axis: range(-(-array.shape[at] // outer[at])) for at, axis in enumerate(axes)}
    for axis, index in place.items():
        chosen[axis] = range(index // outer[axes.index(axis)], index // outer[axes.index(axis)] + 1)
    for key in product(*(chosen[axis] for axis in axes)):
        path = root / array.metadata.encode_chunk_key(key)
        inner = [range(length // chunk) for length, chunk in zip(outer, array.chunks, strict=True)]
        for axis, index in place.items():
            at = axes.index(axis)
            inside = index % outer[at] // array.chunks[at]
            inner[at] = range(inside, inside + 1)
        stored = _stored(path, array, outer) if path.is_file() else None
        for part in product(*inner):
            if stored is not None and stored[part]:
                continue
            start = {a: key[at] * outer[at] + part[at] * array.chunks[at] for at, a in enumerate(axes)}
            y0, x0 = start["y"], start["x"]
            if y0 < size["y"] and x0 < size["x"]:
                yield Window(y0, min(y0 + step["y"], size["y"]), x0, min(x0 + step["x"], size["x"]))


class ChunkProofs:
    """What has been proved of the files of an array, so that each chunk is looked at once; threads may share it.

    Parameters
    ----------
    root : folder of the array
    array : the open array
    axes : one letter per axis

    Raises
    ------
    ValueError
        if its chunks are coded in a way that is not read
    """

    def __init__(self, root: Path, array: zarr.Array[Any], axes: str) -> None:
        """Look at the codecs; nothing is read yet."""
        self._root = root
        self._array = array
        self._axes = axes
        self._coding = coding_of(array)
        self._indices: dict[Path, NDArray[np.uint64]] = {}
        self._proved: set[tuple[int, ...]] = set()

    def check(self, place: Mapping[str, int], window: Window) -> None:
        """Prove that the chunks under a rectangle lie in their files, and give no more than a chunk when decoded.

        Parameters
        ----------
        place : index of the plane along every axis but y and x
        window : rectangle

        Raises
        ------
        ValueError
            saying what is wrong, or as a decoder raised it
        """
        spans = {axis: (index, index + 1) for axis, index in place.items()}
        spans |= {"y": (window.y0, window.y1), "x": (window.x0, window.x1)}
        ranges = []
        for step, axis in zip(self._array.chunks, self._axes, strict=True):
            first, last = spans[axis]
            ranges.append(range(first // step, -(-last // step)))
        for chunk in product(*ranges):
            if chunk not in self._proved:
                self._prove(chunk)
                self._proved.add(chunk)

    def _prove(self, chunk: tuple[int, ...]) -> None:
        """Look at one chunk, counted over the whole array."""
        outer = self._array.shards or self._array.chunks
        inside = [shard // own for shard, own in zip(outer, self._array.chunks, strict=True)]
        path = self._root / self._array.metadata.encode_chunk_key(
            tuple(at // count for at, count in zip(chunk, inside, strict=True))
        )
        if path not in self._indices and not path.is_file():
            return
        if self._array.shards is None:
            self._coding.check(path)
            return
        if path not in self._indices:
            most = math.prod(inside) * (self._coding.stored_limit + INDEX_ENTRY) + INDEX_ENTRY
            if path.stat().st_size > most:
                raise ValueError(f"shard {path.name} has {path.stat().st_size} bytes, expected {most} at most")
            self._indices[path] = _index(path, self._array, outer)
        start, length = self._indices[path][tuple(at % count for at, count in zip(chunk, inside, strict=True))]
        if start != ABSENT:
            self._coding.check(path, int(start), int(length))


def _stored(path: Path, array: zarr.Array[Any], outer: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which chunks a file holds, in the shape of the chunks inside a shard.

    Raises
    ------
    ValueError
        as ``_index``
    """
    if array.shards is None:
        return np.ones((1,) * len(outer), bool)
    is_stored: NDArray[np.bool_] = _index(path, array, outer)[..., 0] != ABSENT
    return is_stored


def _index(path: Path, array: zarr.Array[Any], outer: tuple[int, ...]) -> NDArray[np.uint64]:
    """Start and length of every chunk in a shard, in the shape of its chunks.

    Raises
    ------
    ValueError
        if the index is cut short, or leads out of the file
    """
    shape = tuple(length // chunk for length, chunk in zip(outer, array.chunks, strict=True))
    metadata: Any = array.metadata
    codec = next(one for one in metadata.codecs if hasattr(one, "index_location"))
    has_sum = any("crc32c" in type(one).__name__.lower() for one in codec.index_codecs)
    count = math.prod(shape)
    length = INDEX_ENTRY * count + (4 if has_sum else 0)
    if path.stat().st_size < length:
        raise ValueError(f"shard {path.name} has {path.stat().st_size} bytes, its index alone {length}")
    with path.open("rb") as file:
        if "end" in str(getattr(codec.index_location, "value", codec.index_location)):
            file.seek(-length, 2)
        data = file.read(length)
    pairs = np.frombuffer(data[: INDEX_ENTRY * count], "<u8").reshape(*shape, 2)
    is_stored = pairs[..., 0] != ABSENT
    starts, lengths = pairs[is_stored][:, 0], pairs[is_stored][:, 1]
    size = path.stat().st_size
    # compared one by one: a sum beyond 64 bits would begin anew at zero
    if ((starts > size) | (lengths > size - np.minimum(starts, size))).any():
        raise ValueError(f"shard {path.name} ends before chunks that its index names")
    return pairs
