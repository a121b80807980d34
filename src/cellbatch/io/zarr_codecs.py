"""How the chunks of a Zarr array are coded, and proof, before one is decoded, that it gives no more than it may.

References
----------
Zarr 2 and 3; headers of c-blosc 1 (README_CHUNK_FORMAT) and of LZ4 as numcodecs writes it.
"""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np

if TYPE_CHECKING:
    import zarr

CHECKSUMS = ("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3")
# filters that may change the width of a number, and orders of bytes or axes that keep every size
FILTERS = ("astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize")
ORDERS = ("bytes", "shuffle", "transpose")
LZMA_MEMORY = 96 << 20
BLOSC_HEADER = 16
CHECKSUM_BYTES = 4
# a compressor gives at most a little more than it gets
STORED_SLACK = 1 << 16
_STREAMS: dict[str, Callable[[], Any]] = {
    "gzip": partial(zlib.decompressobj, 31),
    "zlib": zlib.decompressobj,
    "bz2": bz2.BZ2Decompressor,
    "lzma": partial(lzma.LZMADecompressor, lzma.FORMAT_AUTO, LZMA_MEMORY),
}
COMPRESSORS = ("blosc", "lz4", "zstd", *_STREAMS)


@dataclass(frozen=True)
class Coding:
    """How each chunk is stored: its compressor, or none, what that may give, and bytes of sums behind it."""

    compressor: str
    limit: int
    behind: int

    @property
    def stored_limit(self) -> int:
        """Bytes that a stored chunk has at most."""
        return 2 * self.limit + STORED_SLACK if self.compressor else self.limit + self.behind

    def check(self, path: Path, start: int = 0, length: int | None = None) -> None:
        """Prove that a stored chunk decodes to no more bytes than it may.

        Parameters
        ----------
        path : file of the chunk, or of the shard that holds it
        start, length : its place in the file; the whole by default

        Raises
        ------
        ValueError
            saying what is wrong; errors of the decoders, too
        """
        size = path.stat().st_size - start if length is None else length
        if size > self.stored_limit:
            raise ValueError(f"chunk {path.name} is stored in {size} bytes, expected {self.stored_limit} at most")
        if not self.compressor:
            return
        size -= self.behind
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(BLOSC_HEADER if self.compressor in ("blosc", "lz4") else size)
        given = self._decoded_bytes(data, size, path.name)
        if given > self.limit:
            raise ValueError(f"chunk {path.name} decodes to {given} bytes or more, expected {self.limit}")

    def _decoded_bytes(self, data: bytes, size: int, name: str) -> int:
        """Bytes that a chunk decodes to, as its header says or by decoding as many as it may have and one more."""
        if self.compressor == "lz4":
            return int.from_bytes(data[:4], "little")
        if self.compressor == "blosc":
            decoded, stored = (int.from_bytes(data[at : at + 4], "little") for at in (4, 12))
            if size < BLOSC_HEADER or stored > size:
                raise ValueError(f"chunk {name} of {size} bytes is cut short: its header says {stored}")
            return decoded
        if self.compressor == "zstd":
            # fails where the result is longer than the room that it gets
            return len(imagecodecs.zstd_decode(data, out=self.limit))
        return _streamed_bytes(data, _STREAMS[self.compressor], self.limit)


def _streamed_bytes(data: bytes, new_decoder: Callable[[], Any], limit: int) -> int:
    """Bytes in one compressed stream after the other, counted to one above the limit."""
    count = 0
    while data and count <= limit:
        decoder = new_decoder()
        count += len(decoder.decompress(data, limit + 1 - count))
        if not decoder.eof:
            break
        data = decoder.unused_data.lstrip(b"\0")
    return count


def coding_of(array: zarr.Array[Any]) -> Coding:
    """Say how the chunks of an array are coded; inside a shard, those in it.

    Raises
    ------
    ValueError
        naming a codec, or an order of codecs, that is not read
    """
    for shape in (array.chunks, array.shards or ()):
        if min(shape, default=1) < 1:
            raise ValueError(f"its header claims chunks of {shape} px")
    steps = _steps(array)
    unknown = [name for name in steps if name not in (*CHECKSUMS, *FILTERS, *ORDERS, *COMPRESSORS)]
    if unknown:
        known = sorted((*CHECKSUMS, *FILTERS, *ORDERS, *COMPRESSORS))
        raise ValueError(f"codec {unknown[0]!r} is not read; expected {', '.join(known)}")
    at = [index for index, name in enumerate(steps) if name in COMPRESSORS]
    behind = steps[at[0] + 1 :] if at else []
    if len(at) > 1 or any(name != "crc32c" for name in behind):
        raise ValueError(f"codecs {' + '.join(steps)} are not read; expected one compressor, last or before crc32c")
    width = max(np.dtype(array.dtype).itemsize, 8 if any(name in FILTERS for name in steps) else 1)
    sums = sum(name in CHECKSUMS for name in steps) - len(behind)
    limit = math.prod(array.chunks) * width + CHECKSUM_BYTES * sums
    return Coding(steps[at[0]] if at else "", limit, CHECKSUM_BYTES * len(behind))


def _steps(array: zarr.Array[Any]) -> list[str]:
    """Names of the codecs of a chunk, in the order in which a writer applies them."""
    metadata: Any = array.metadata
    if metadata.zarr_format == 2:
        codecs = [*(metadata.filters or ()), *([metadata.compressor] if metadata.compressor is not None else [])]
        return [str(codec.get_config()["id"]) for codec in codecs]
    codecs = metadata.codecs
    sharding = [codec for codec in codecs if hasattr(codec, "index_location")]
    if sharding:
        if len(codecs) > 1 or any(hasattr(codec, "index_location") for codec in sharding[0].codecs):
            raise ValueError("shards within shards, or compressed ones, are not read; write the image again")
        codecs = sharding[0].codecs
    return [str(codec.to_dict()["name"]).removeprefix("numcodecs.") for codec in codecs]
