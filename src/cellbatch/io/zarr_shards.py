"""Zarr 3 arrays of any size whose chunks lie in one file each, written chunk by chunk.

The file of a shard is its compressed chunks one after the other and an index at the end, so it can be written with one
chunk in memory, which Zarr libraries do not do: they hold a shard whole. Any Zarr 3 reader opens the result.

References
----------
Zarr core protocol, version 3; codec ``sharding_indexed``, version 1; CRC-32C after RFC 3720, appendix B.4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cellbatch.io.closing import Closing
from cellbatch.spec import Window

CHUNK = 512
COMPRESSION_LEVEL = 3
_ABSENT = np.uint64(2**64 - 1)
_POLYNOMIAL = 0x82F63B78


class ShardedWriter(Closing):
    """One array, (C, Y, X) or (Y, X), in one shard; chunks of 512 × 512 px; background takes no room.

    Parameters
    ----------
    folder : of the array; made here
    shape : lengths of the axes
    dtype : kind of numbers
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Write the metadata and open the shard."""
        self.shape = shape
        self.dtype = np.dtype(dtype).newbyteorder("<")
        leading = shape[:-2]
        self._grid = (*leading, *(-(-size // CHUNK) for size in shape[-2:]))
        self._index = np.full((*self._grid, 2), _ABSENT, "<u8")
        path = folder.joinpath("c", *("0" for _ in shape))
        path.parent.mkdir(parents=True)
        write_document(folder, _array_document(shape, self.dtype, self._grid))
        self._file = path.open("w+b")
        self._end = 0

    def write(self, window: Window, values: NDArray[Any], channel: int | None = None) -> None:
        """Write the chunks under a rectangle that begins at a chunk border, each chunk once."""
        if window.y0 % CHUNK or window.x0 % CHUNK:
            raise ValueError(f"{window} does not begin at a border of chunks of {CHUNK} px")
        for y in range(0, window.shape[0], CHUNK):
            for x in range(0, window.shape[1], CHUNK):
                index = (window.y0 + y) // CHUNK, (window.x0 + x) // CHUNK
                self._write_chunk(index if channel is None else (channel, *index), values[y : y + CHUNK, x : x + CHUNK])

    def _write_chunk(self, index: tuple[int, ...], values: NDArray[Any]) -> None:
        """Compress a chunk, filled up with zeros at the border of the image."""
        if not values.any():
            return
        full = np.zeros((CHUNK, CHUNK), self.dtype)
        full[: values.shape[0], : values.shape[1]] = values
        data = imagecodecs.blosc_encode(
            full.tobytes(),
            level=COMPRESSION_LEVEL,
            compressor="zstd",
            shuffle="shuffle",
            typesize=self.dtype.itemsize,
            numthreads=1,
        )
        self._file.seek(self._end)
        self._file.write(data)
        self._index[index] = self._end, len(data)
        self._end += len(data)

    def read(self, window: Window, channel: int | None = None) -> NDArray[Any]:
        """Read a rectangle of what has been written."""
        result = np.zeros(window.shape, self.dtype)
        for row in range(window.y0 // CHUNK, -(-window.y1 // CHUNK)):
            top, bottom = max(window.y0, row * CHUNK), min(window.y1, (row + 1) * CHUNK)
            for column in range(window.x0 // CHUNK, -(-window.x1 // CHUNK)):
                left, right = max(window.x0, column * CHUNK), min(window.x1, (column + 1) * CHUNK)
                chunk = self._read_chunk((row, column) if channel is None else (channel, row, column))
                if chunk is not None:
                    result[top - window.y0 : bottom - window.y0, left - window.x0 : right - window.x0] = chunk[
                        top - row * CHUNK : bottom - row * CHUNK, left - column * CHUNK : right - column * CHUNK
                    ]
        return result

    def _read_chunk(self, index: tuple[int, ...]) -> NDArray[Any] | None:
        offset, size = self._index[index]
        if offset == _ABSENT:
            return None
        self._file.seek(int(offset))
        data = imagecodecs.blosc_decode(self._file.read(int(size)), numthreads=1)
        return np.frombuffer(data, self.dtype).reshape(CHUNK, CHUNK)

    def close(self) -> None:
        """Write the index and close the shard."""
        index = self._index.tobytes()
        self._file.seek(self._end)
        self._file.write(index + crc32c(index).to_bytes(4, "little"))
        self._file.close()


def write_document(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the metadata of a group or array."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "zarr.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def group_document(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def _array_document(shape: tuple[int, ...], dtype: np.dtype[Any], grid: tuple[int, ...]) -> dict[str, Any]:
    """Metadata of an array in one shard."""
    leading = len(shape) - 2
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc = {
        "typesize": dtype.itemsize,
        "cname": "zstd",
        "clevel": COMPRESSION_LEVEL,
        "shuffle": "shuffle",
        "blocksize": 0,
    }
    sharding = {
        "chunk_shape": [1] * leading + [CHUNK] * 2,
        "codecs": [little, {"name": "blosc", "configuration": blosc}],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [*shape[:leading], *(CHUNK * count for count in grid[leading:])]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0 if dtype.kind == "f" else 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": ["c", "y", "x"][-len(shape) :],
        "attributes": {},
    }


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, remainder = _crc_table(), 0xFFFFFFFF
    for byte in data:
        remainder = table[(remainder ^ byte) & 0xFF] ^ remainder >> 8
    return remainder ^ 0xFFFFFFFF


@lru_cache(maxsize=1)
def _crc_table() -> list[int]:
    """Remainder of every byte."""
    table = []
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (_POLYNOMIAL if remainder & 1 else 0)
        table.append(remainder)
    return table
