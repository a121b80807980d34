"""Pixels of TIFF pages by rectangle, and the proof that a file holds all bytes its pages name."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellbatch.errors import InputError
from cellbatch.io.piece_cache import PieceCache
from cellbatch.io.tiff_bytes import read_bytes, read_rows
from cellbatch.io.tiff_segments import SegmentReader, segment_shape
from cellbatch.spec import Window

MAX_TAGS = 4096
DIRECTORY_BYTES = 1024
# Pixels at the very start of a file would lie in its header.
HEADER_BYTES = 8
# No codec of microscopy packs real pixels this densely; a part that claims it, and is large, would only fill memory.
DENSEST = 2000
HARMLESS_BYTES = 2**28


class PageReader:
    """Rectangles of one TIFF page, read at their offsets without touching the rest of the file.

    Parameters
    ----------
    name : file name for messages
    descriptor : open file; reads are positioned, so threads may share it
    page : the page as tifffile parsed it
    cache : decoded segments, shared by the pages of a file

    Attributes
    ----------
    shape : height and width in px
    block_shape : rows and columns that are decoded together
    """

    def __init__(self, name: str, descriptor: int, page: tifffile.TiffPage, cache: PieceCache) -> None:
        """Keep the page; nothing is read yet."""
        self._name = name
        self._descriptor = descriptor
        self._page = page
        self._segments = None if page.is_final else SegmentReader(name, descriptor, page, cache)
        self.shape: tuple[int, int] = (page.shaped[2], page.shaped[3])
        self.block_shape = (1, self.shape[1]) if self._segments is None else self._segments.segment

    def read(self, sample: int, window: Window) -> NDArray[Any]:
        """Pixels ``(Y, X)`` of one sample within ``window``, stored dtype, machine byte order."""
        if self._segments is not None:
            return self._segments.read(sample, window)
        return self._read_raw(sample, window)

    def close(self) -> None:
        """Give back what the page holds beside the file."""
        if self._segments is not None:
            self._segments.close()

    def _read_raw(self, sample: int, window: Window) -> NDArray[Any]:
        """Uncompressed and contiguous: rows straight from the file."""
        separate, _, height, width, contiguous = self._page.shaped
        plane = sample if separate > 1 else 0
        dtype = np.dtype(self._page.parent.byteorder + np.dtype(self._page.dtype).char)
        stride = width * contiguous
        start = int(self._page.dataoffsets[0]) + plane * height * stride * dtype.itemsize
        rows = read_rows(
            self._descriptor,
            start,
            (height, stride),
            dtype,
            window._replace(x0=window.x0 * contiguous, x1=window.x1 * contiguous),
            self._name,
        )
        channel = rows[:, (sample if contiguous > 1 else 0) :: contiguous]
        return np.ascontiguousarray(channel, dtype.newbyteorder("="))


class RawPlane:
    """One plane of a stack that is stored without gaps behind its first page (ImageJ, tifffile)."""

    def __init__(self, name: str, descriptor: int, page: tifffile.TiffPage, plane: int) -> None:
        """Locate the plane by its number."""
        self._name = name
        self._descriptor = descriptor
        self.shape: tuple[int, int] = (page.shaped[2], page.shaped[3])
        self.block_shape = (1, self.shape[1])
        self._dtype = np.dtype(page.parent.byteorder + np.dtype(page.dtype).char)
        self._start = int(page.dataoffsets[0]) + plane * self.shape[0] * self.shape[1] * self._dtype.itemsize

    def read(self, sample: int, window: Window) -> NDArray[Any]:
        """Pixels ``(Y, X)`` within ``window``; a plane has one sample."""
        rows = read_rows(self._descriptor, self._start, self.shape, self._dtype, window, self._name)
        return np.ascontiguousarray(rows, self._dtype.newbyteorder("="))

    def close(self) -> None:
        """Nothing to give back."""


def check_page(name: str, page: Any, size: int) -> None:
    """Prove that every strip or tile of a page lies inside the file and is as long as it must be.

    Parameters
    ----------
    name : file name for messages
    page : ``TiffPage`` or ``TiffFrame``
    size : bytes of the file

    Raises
    ------
    InputError
        at the first strip or tile that is missing, too short or beyond the end of the file
    """
    offsets = np.asarray(page.dataoffsets, np.uint64)
    counts = np.asarray(page.databytecounts, np.uint64)
    separate = page.keyframe.shaped[0]
    rows, columns = segment_shape(page.keyframe)
    _, depth, height, width, contiguous = page.keyframe.shaped
    expected = separate * depth * -(-height // rows) * -(-width // columns)
    if not page.keyframe.is_final and (len(offsets) < expected or len(counts) < expected):
        raise InputError(
            f"{name}: page {page.index} names {min(len(offsets), len(counts))} strips or tiles, "
            f"expected {expected}; the file is damaged: write it again"
        )
    _refuse_bomb(name, page, rows * columns * depth * contiguous, counts)
    _refuse_short_parts(name, page, counts)
    _refuse_lost_counts(name, page, offsets, counts)
    _refuse_overlaps(name, page, offsets, counts)
    astray = ((counts > 0) | page.keyframe.is_final) & (offsets < HEADER_BYTES)
    if astray.any():
        raise InputError(
            f"{name}: page {page.index} names a strip or tile at byte {int(offsets[astray][0])} of {size}, where none "
            "can be; the file is damaged: copy or write it again"
        )
    ends = np.maximum(offsets, offsets + counts)  # a sum beyond 64 bits would begin anew at zero
    if page.keyframe.is_final and len(offsets):
        needed = separate * depth * height * width * contiguous * np.dtype(page.keyframe.dtype).itemsize
        ends = np.append(ends, offsets[0] + np.uint64(needed))
    if len(ends) == 0 or int(ends.max()) > size:
        found = int(ends.max()) if len(ends) else 0
        raise InputError(
            f"{name}: the file is cut short: page {page.index} needs {found} bytes, the file has {size}; "
            "copy or write it again"
        )


def _refuse_short_parts(name: str, page: Any, counts: NDArray[np.uint64]) -> None:
    """Refuse uncompressed strips and tiles that are shorter than their pixels; the rest would read as anything."""
    keyframe = page.keyframe
    if keyframe.compression != 1 or keyframe.is_final or keyframe.dtype is None:
        return
    bits = keyframe.bitspersample
    rows, columns = segment_shape(keyframe)
    separate, depth, height, _, contiguous = keyframe.shaped
    needed = np.full(len(counts), rows * (columns * contiguous * bits // 8), np.uint64)
    if not keyframe.is_tiled and height % rows:
        down = -(-height // rows)
        needed[down - 1 :: down] = height % rows * (columns * contiguous * bits // 8)
    short = (counts > 0) & (counts < needed)
    if separate * depth and isinstance(bits, int) and short.any():
        at = int(np.flatnonzero(short)[0])
        raise InputError(
            f"{name}: part {at} of page {page.index} has {int(counts[at])} bytes, expected {int(needed[at])}; "
            "the file is damaged: copy or write it again"
        )


def _refuse_lost_counts(name: str, page: Any, offsets: NDArray[np.uint64], counts: NDArray[np.uint64]) -> None:
    """Refuse a part with a place and no length: only one with neither was left out on purpose."""
    length = min(len(offsets), len(counts))
    lost = (counts[:length] == 0) & (offsets[:length] != 0)
    if lost.any():
        raise InputError(
            f"{name}: part {int(np.flatnonzero(lost)[0])} of page {page.index} has a place in the file but no bytes; "
            "the file is damaged: copy or write it again"
        )


def _refuse_overlaps(name: str, page: Any, offsets: NDArray[np.uint64], counts: NDArray[np.uint64]) -> None:
    """Refuse parts that share some of their bytes; equal ones may share all, as empty tiles do."""
    length = min(len(offsets), len(counts))
    order = np.lexsort((counts[:length], offsets[:length]))
    starts, sizes = offsets[order], counts[order]
    stored = sizes > 0
    starts, sizes = starts[stored], sizes[stored]
    differ = (starts[1:] != starts[:-1]) | (sizes[1:] != sizes[:-1])
    overlap = differ & (starts[1:] - starts[:-1] < sizes[:-1])
    if overlap.any():
        at = int(np.flatnonzero(overlap)[0])
        raise InputError(
            f"{name}: two parts of page {page.index} overlap at byte {int(starts[at + 1])}; the file is damaged: "
            "copy or write it again"
        )


def check_stack(name: str, pages: Sequence[Any]) -> None:
    """Prove that the pages of an ImageJ stack lie one behind the other, as programs that look at the first only trust.

    Raises
    ------
    InputError
        at the first page that lies elsewhere
    """
    first = pages[0]
    if not first.is_final:
        return
    size = math.prod(first.shaped) * np.dtype(first.dtype).itemsize
    for number, page in enumerate(pages):
        if int(page.dataoffsets[0]) != int(first.dataoffsets[0]) + number * size:
            raise InputError(
                f"{name}: page {page.index} of this ImageJ stack begins at byte {int(page.dataoffsets[0])}, expected "
                f"{int(first.dataoffsets[0]) + number * size}, so programs disagree on its pixels; the file is "
                "damaged: copy or write it again"
            )


def _refuse_bomb(name: str, page: Any, samples: int, counts: NDArray[np.uint64]) -> None:
    """Refuse a strip or tile that claims to unpack to far more than its bytes can hold."""
    if page.keyframe.dtype is None:
        return
    claimed = samples * np.dtype(page.keyframe.dtype).itemsize
    stored = counts[counts > 0]
    if claimed > HARMLESS_BYTES and len(stored) and claimed > DENSEST * int(stored.min()):
        raise InputError(
            f"{name}: page {page.index} claims {claimed} bytes in a strip or tile of {int(stored.min())}; "
            "the file is damaged or made to fill the memory: write it again"
        )


def check_page_chain(name: str, descriptor: int, size: int) -> int:
    """Walk the chain of page directories to its end.

    A reader that stops at a broken link would lose channels without a word.

    Parameters
    ----------
    name : file name for messages
    descriptor : open file
    size : bytes of the file

    Returns
    -------
    int
        number of pages in the main chain

    Raises
    ------
    InputError
        if a link leads out of the file or back to an earlier page

    References
    ----------
    TIFF 6.0, section 2 (Adobe, 1992); BigTIFF as in libtiff.
    """
    head = read_bytes(descriptor, 0, 16, name) if size >= 16 else b""
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise InputError(f"{name}: not a TIFF file (it starts with {head[:4]!r}); convert it to OME-TIFF")
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    count_format, link_format, entry = (order + "Q", order + "Q", 20) if big else (order + "H", order + "I", 12)
    offset = struct.unpack(link_format, head[8:16] if big else head[4:8])[0]
    seen: set[int] = set()
    while offset:
        if offset in seen or offset + struct.calcsize(count_format) > size:
            found = "goes in a circle" if offset in seen else f"leads to byte {offset} of {size}"
            raise InputError(
                f"{name}: the chain of pages {found} after page {len(seen)}; the file is cut short or damaged: "
                "copy or write it again"
            )
        seen.add(offset)
        offset = _next_page(name, descriptor, offset, (count_format, link_format, entry), size)
    return len(seen)


def _next_page(name: str, descriptor: int, offset: int, layout: tuple[str, str, int], size: int) -> int:
    """Byte offset of the directory that follows the one at ``offset``; 0 at the end."""
    count_format, link_format, entry = layout
    head, tail = struct.calcsize(count_format), struct.calcsize(link_format)
    # one read for nearly every directory: on a mount each costs a round trip
    data = read_bytes(descriptor, offset, min(DIRECTORY_BYTES, size - offset), name)
    tags = int(struct.unpack(count_format, data[:head])[0])
    link = head + tags * entry
    if tags > MAX_TAGS or offset + link + tail > size:
        raise InputError(
            f"{name}: the page directory at byte {offset} is damaged ({tags} tags); copy or write the file again"
        )
    if link + tail > len(data):
        data = read_bytes(descriptor, offset, link + tail, name)
    return int(struct.unpack(link_format, data[link : link + tail])[0])
