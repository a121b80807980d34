"""The format of hand-off files: a Zarr 3 store inside a zip.

The store is written here directly after the specification (a JSON document per group and array, one entry per chunk,
Blosc with LZ4, or Zstandard for single bytes), because a general Zarr library spends milliseconds per small array
where tens of microseconds do. Any Zarr 3 reader opens the result. Chunks are written once and aligned, entries carry no
date, and the file takes its name only when complete, so equal content gives equal bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

CHUNK = 1024
# Small arrays are one chunk: an entry costs more than its bytes.
SINGLE_CHUNK_BYTES = 1 << 22
ROOT = "zarr.json"
DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
ENTRY_DATE = (1980, 1, 1, 0, 0, 0)


def chunk_shape(shape: tuple[int, ...], dtype: Any) -> tuple[int, ...]:
    """Chunks of an array: whole when small, else of a mebibyte: 1024 columns, and 1 along all axes but the last two.

    Whoever writes row by row holds a row of chunks, so chunks of wide types are lower.
    """
    itemsize = np.dtype(dtype).itemsize
    if math.prod(shape) * itemsize <= SINGLE_CHUNK_BYTES:
        return tuple(max(size, 1) for size in shape)
    leading = max(len(shape) - 2, 0)
    wanted = (CHUNK // itemsize, CHUNK)[-len(shape) :]
    return (1,) * leading + tuple(min(size, chunk) for size, chunk in zip(shape[leading:], wanted, strict=True))


def chunk_indices(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Give the indices of all chunks."""
    return product(*(range(-(-size // chunk)) for size, chunk in zip(shape, chunks, strict=True)))


def array_prefix(sample: str, name: str) -> str:
    """Path of an array; names may not open further levels."""
    for part in (sample, name):
        if not part or "/" in part or part in (".", "..", ROOT):
            raise ValueError(f"{part!r} cannot name a part of a hand-off file")
    return f"{sample}/{name}"


def encode_chunk(values: NDArray[Any]) -> bytes:
    """Compress one chunk; a single thread, since several would make the bytes depend on their timing."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    compressor, shuffle = _compression(values.dtype)
    return bytes(
        imagecodecs.blosc_encode(
            little.tobytes(),
            level=1,
            compressor=compressor,
            shuffle=shuffle,
            typesize=values.dtype.itemsize,
            numthreads=1,
        )
    )


def _compression(dtype: np.dtype[Any]) -> tuple[str, str]:
    """Compressor and shuffle of a type of numbers.

    Single bytes, such as bins, hold less than eight bits each, which only a compressor with entropy coding uses; maps
    of four bytes are almost noise, and not worth its time.
    """
    return ("zstd", "noshuffle") if dtype.itemsize == 1 else ("lz4", "shuffle")


def decode_chunk(data: bytes, chunks: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Expand one chunk.

    Raises
    ------
    ValueError
        if it does not hold exactly the bytes of a chunk
    """
    expanded = imagecodecs.blosc_decode(data, numthreads=1)
    needed = math.prod(chunks) * dtype.itemsize
    if len(expanded) != needed:
        raise ValueError(f"a chunk of {len(expanded)} bytes, expected {needed}")
    return np.frombuffer(expanded, dtype).reshape(chunks)


def array_document(shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...]) -> bytes:
    """Zarr 3 metadata of an array."""
    compressor, shuffle = _compression(dtype)
    zero: Any = False if dtype.kind == "b" else 0.0 if dtype.kind == "f" else 0
    return _json(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": zero,
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {
                    "name": "blosc",
                    "configuration": {
                        "typesize": dtype.itemsize,
                        "cname": compressor,
                        "clevel": 1,
                        "shuffle": shuffle,
                        "blocksize": 0,
                    },
                },
            ],
            "attributes": {},
        }
    )


def group_document(attributes: Mapping[str, Any]) -> bytes:
    """Zarr 3 metadata of a group."""
    return _json({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)})


def _json(document: Any) -> bytes:
    """Compact JSON; NaN has no place in it."""
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
