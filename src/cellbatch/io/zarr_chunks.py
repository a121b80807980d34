"""Which stored parts of a Zarr array exist: writers may leave out empty ones, and broken copies lose others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellbatch.spec import Window

if TYPE_CHECKING:
    import zarr

ABSENT = np.iinfo(np.uint64).max
# chunks above this size once decoded are named in the plan with their memory
LARGE_CHUNK_BYTES = 32 << 20


def chunk_memory(array: zarr.Array[Any]) -> int:
    """Memory that one chunk takes, before and after decoding, where chunks are large; else 0."""
    size = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
    return 2 * size if size > LARGE_CHUNK_BYTES else 0


def count_chunks(array: zarr.Array[Any], axes: str) -> int:
    """Chunks over the Y and X axes of one channel."""
    return math.prod(-(-array.shape[at] // array.chunks[at]) for at, axis in enumerate(axes) if axis in "yx")


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


def check_shards(
    root: Path, array: zarr.Array[Any], axes: str, place: tuple[Mapping[str, int], Window], checked: set[Path]
) -> None:
    """Prove that the shards under a rectangle of a plane hold the chunks that their indices name.

    Parameters
    ----------
    root, array, axes : as for ``absent_chunks``
    place : index of the plane along every axis but y and x, and rectangle
    checked : files that have been proved already; gets those that are proved now

    Raises
    ------
    ValueError
        as ``absent_chunks``
    """
    if array.shards is None:
        return
    plane, window = place
    spans = {axis: (index, index + 1) for axis, index in plane.items()}
    spans |= {"y": (window.y0, window.y1), "x": (window.x0, window.x1)}
    outer = array.shards
    ranges = []
    for at, axis in enumerate(axes):
        first, last = spans[axis]
        ranges.append(range(first // outer[at], -(-last // outer[at])))
    for index in product(*ranges):
        path = root / array.metadata.encode_chunk_key(index)
        if path not in checked and path.is_file():
            _stored(path, array, outer)
            checked.add(path)


def _stored(path: Path, array: zarr.Array[Any], outer: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which chunks a file holds, in the shape of the chunks inside a shard.

    Raises
    ------
    ValueError
        if the index of a shard is cut short or damaged
    """
    shape = tuple(length // chunk for length, chunk in zip(outer, array.chunks, strict=True))
    if array.shards is None:
        return np.ones(shape, bool)
    metadata: Any = array.metadata
    codec = next(one for one in metadata.codecs if hasattr(one, "index_location"))
    has_sum = any("crc32c" in type(one).__name__.lower() for one in codec.index_codecs)
    count = math.prod(shape)
    length = 16 * count + (4 if has_sum else 0)
    if path.stat().st_size < length:
        raise ValueError(f"shard {path.name} has {path.stat().st_size} bytes, its index alone {length}")
    with path.open("rb") as file:
        if "end" in str(getattr(codec.index_location, "value", codec.index_location)):
            file.seek(-length, 2)
        data = file.read(length)
    pairs = np.frombuffer(data[: 16 * count], "<u8").reshape(*shape, 2)
    is_stored: np.ndarray[Any, np.dtype[np.bool_]] = pairs[..., 0] != ABSENT
    starts, lengths = pairs[is_stored][:, 0], pairs[is_stored][:, 1]
    size = path.stat().st_size
    # compared one by one: a sum beyond 64 bits would begin anew at zero
    if ((starts > size) | (lengths > size - np.minimum(starts, size))).any():
        raise ValueError(f"shard {path.name} ends before chunks that its index names")
    return is_stored
