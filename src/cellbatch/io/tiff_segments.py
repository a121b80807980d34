"""Strips and tiles of a TIFF page: which ones a rectangle needs, fetched in few reads, decoded once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellbatch.errors import InputError
from cellbatch.io.piece_cache import PieceCache
from cellbatch.io.prefetch import read_together
from cellbatch.io.scratch import ScratchPlanes
from cellbatch.io.tiff_bytes import read_bytes
from cellbatch.spec import Window

JPEG_COMPRESSIONS = (6, 7, 33007, 34892)
# Neighbours in the file are fetched in one read of at most this many bytes, over gaps of at most GAP_BYTES.
RUN_BYTES = 4 << 20
GAP_BYTES = 1 << 12
# Decoded segments kept per file: windows that walk over a page share those at their borders.
CACHE_BYTES = 32 << 20
# A page whose segments are larger than this once decoded is unpacked to disk at its first use.
LARGE_SEGMENT_BYTES = 32 << 20


class Place(NamedTuple):
    """A segment by its number in the page, and the pixel at which it begins."""

    number: int
    y0: int
    x0: int


class SegmentReader:
    """Rectangles of a page that is stored as compressed or tiled segments.

    Parameters
    ----------
    name : file name for messages
    descriptor : open file; reads are positioned, so threads may share it
    page : the page as tifffile parsed it
    cache : shared by the pages of a file
    """

    def __init__(self, name: str, descriptor: int, page: tifffile.TiffPage, cache: PieceCache) -> None:
        """Keep the page; nothing is read yet."""
        self._name = name
        self._descriptor = descriptor
        self._page = page
        self._cache = cache
        self._copy: ScratchPlanes | None = None
        self._lock = threading.Lock()
        self.segment = segment_shape(page)

    def read(self, sample: int, window: Window) -> NDArray[Any]:
        """Pixels ``(Y, X)`` of one sample within ``window``, stored dtype, machine byte order."""
        if segment_bytes(self._page) > LARGE_SEGMENT_BYTES:
            return self._unpacked().read(sample, window)
        result: NDArray[Any] = np.empty(window.shape, np.dtype(self._page.dtype).newbyteorder("="))
        missing = []
        for place in self._places(sample, window):
            segment = self._cache.get((self._page.index, place.number))
            if segment is None:
                missing.append(place)
            else:
                self._paste(segment, place, sample, window, result)
        read_together([partial(self._fetch, run, sample, window, result) for run in self._runs(missing)])
        return result

    def close(self) -> None:
        """Give back the disk that an unpacked page takes."""
        if self._copy is not None:
            self._copy.close()

    def _places(self, sample: int, window: Window) -> Iterator[Place]:
        """Segments that meet a window."""
        separate, _, height, width, _ = self._page.shaped
        rows, columns = self.segment
        down, across = -(-height // rows), -(-width // columns)
        first = (sample if separate > 1 else 0) * down * across
        for row in range(window.y0 // rows, -(-window.y1 // rows)):
            for column in range(window.x0 // columns, -(-window.x1 // columns)):
                yield Place(first + row * across + column, row * rows, column * columns)

    def _runs(self, places: Sequence[Place]) -> Iterator[list[Place]]:
        """Group segments that lie side by side in the file, so that one read fetches many."""
        offsets, counts = self._page.dataoffsets, self._page.databytecounts
        run: list[Place] = []
        for place in sorted(places, key=lambda one: int(offsets[one.number])):
            if run:
                end = int(offsets[run[-1].number]) + int(counts[run[-1].number])
                gap = int(offsets[place.number]) - end
                length = int(offsets[place.number]) + int(counts[place.number]) - int(offsets[run[0].number])
                if not 0 <= gap <= GAP_BYTES or length > RUN_BYTES:
                    yield run
                    run = []
            run.append(place)
        if run:
            yield run

    def _fetch(self, run: Sequence[Place], sample: int, window: Window, result: NDArray[Any]) -> None:
        """Read a run, decode its segments and put them into the result."""
        offsets, counts = self._page.dataoffsets, self._page.databytecounts
        start = int(offsets[run[0].number])
        size = int(offsets[run[-1].number]) + int(counts[run[-1].number]) - start
        data = memoryview(read_bytes(self._descriptor, start, size, self._name))
        for place in run:
            first, count = int(offsets[place.number]) - start, int(counts[place.number])
            segment = self._decode(place.number, bytes(data[first : first + count])) if count else None
            if segment is not None:
                self._cache.put((self._page.index, place.number), segment)
            self._paste(segment, place, sample, window, result)

    def _paste(
        self, segment: NDArray[Any] | None, place: Place, sample: int, window: Window, result: NDArray[Any]
    ) -> None:
        """Copy the part of a segment that a window shows; ``None`` stands for one that the file leaves out."""
        rows, columns = self.segment
        y0, y1 = max(window.y0, place.y0), min(window.y1, place.y0 + rows)
        x0, x1 = max(window.x0, place.x0), min(window.x1, place.x0 + columns)
        target = result[y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0]
        if segment is None:
            target[...] = self._page.nodata
            return
        channel = sample if self._page.shaped[4] > 1 else 0
        samples = self._page.shaped[4]
        part = segment[0, y0 - place.y0 : y1 - place.y0, x0 - place.x0 : x1 - place.x0, channel : channel + 1]
        if segment.shape[3] != samples or part.shape != (*target.shape, 1):
            raise InputError(
                f"{self._name}: page {self._page.index} holds a segment of {segment.shape[1:]} (rows, columns, "
                f"samples) where {(rows, columns, samples)} are named; the file is damaged: write it again"
            )
        target[...] = part[..., 0]

    def _decode(self, index: int, data: bytes) -> NDArray[Any] | None:
        """One decoded strip or tile ``(depth, Y, X, samples)``."""
        page = self._page
        arguments: dict[str, Any] = {"_fullsize": page.is_tiled}
        if page.compression in JPEG_COMPRESSIONS:
            arguments |= {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        try:
            segment: NDArray[Any] | None = page.decode(data, index, **arguments)[0]
        except MemoryError:
            raise
        except Exception as error:
            raise InputError(
                f"{self._name}: cannot decode part {index} of page {page.index} (compression "
                f"{compression_name(page)}): {error}; the file is damaged or needs a codec that is not installed: "
                "write it again, uncompressed or with zlib"
            ) from error
        return segment

    def _unpacked(self) -> ScratchPlanes:
        """Copy of the page on disk, made at the first use: one segment at a time is in memory."""
        with self._lock:
            if self._copy is None:
                separate, _, height, width, contiguous = self._page.shaped
                samples = separate * contiguous
                copy = ScratchPlanes((samples, height, width), np.dtype(self._page.dtype))
                try:
                    self._unpack(copy, samples if contiguous > 1 else separate)
                except BaseException:
                    copy.close()
                    raise
                self._copy = copy
        return self._copy

    def _unpack(self, copy: ScratchPlanes, samples: int) -> None:
        """Decode every segment once and write the samples that it holds."""
        _, height, width = copy.shape
        separate, contiguous = self._page.shaped[0], self._page.shaped[4]
        for first in range(separate if contiguous == 1 else 1):
            for place in self._places(first, Window(0, height, 0, width)):
                count = int(self._page.databytecounts[place.number])
                offset = int(self._page.dataoffsets[place.number])
                data = read_bytes(self._descriptor, offset, count, self._name) if count else b""
                segment = self._decode(place.number, data) if count else None
                del data
                rows, columns = self.segment
                box = Window(place.y0, min(place.y0 + rows, height), place.x0, min(place.x0 + columns, width))
                for sample in range(samples) if contiguous > 1 else (first,):
                    part: NDArray[Any] = np.empty(box.shape, copy.dtype)
                    self._paste(segment, place, sample, box, part)
                    copy.write(sample, box, part)


def segment_shape(page: Any) -> tuple[int, int]:
    """Rows and columns of a full strip or tile."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def segment_bytes(page: Any) -> int:
    """Bytes of a full strip or tile once decoded, all its samples together."""
    rows, columns = segment_shape(page)
    return int(rows * columns * page.shaped[4] * np.dtype(page.dtype).itemsize)


def forced_bytes(page: Any) -> int:
    """Memory that a page's largest segment takes while it is decoded; 0 where pieces are small or stored plainly."""
    if page.is_final or segment_bytes(page) <= LARGE_SEGMENT_BYTES:
        return 0
    return segment_bytes(page) + int(max(page.databytecounts, default=0))


def compression_name(page: tifffile.TiffPage) -> str:
    """Name of a page's codec, or its number where it has none."""
    return getattr(page.compression, "name", str(page.compression))
