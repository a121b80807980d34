"""Pixels of TIFF pages by rectangle, and the proof that a file holds all bytes its pages name."""

from __future__ import annotations

import os
import struct
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellbatch.errors import InputError
from cellbatch.spec import Window

JPEG_COMPRESSIONS = (6, 7, 33007, 34892)
MAX_TAGS = 4096


class PageReader:
    """Rectangles of one TIFF page, read at their offsets without touching the rest of the file.

    Parameters
    ----------
    name : file name for messages
    descriptor : open file; reads are positioned, so threads may share it
    page : the page as tifffile parsed it
    """

    def __init__(self, name: str, descriptor: int, page: tifffile.TiffPage) -> None:
        """Keep the page; nothing is read yet."""
        self._name = name
        self._descriptor = descriptor
        self._page = page

    def read(self, sample: int, window: Window) -> NDArray[Any]:
        """Pixels ``(Y, X)`` of one sample within ``window``, stored dtype, machine byte order."""
        if self._page.is_final:
            return self._read_raw(sample, window)
        return self._read_segments(sample, window)

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

    def _read_segments(self, sample: int, window: Window) -> NDArray[Any]:
        """Decode the strips or tiles that meet the window."""
        page = self._page
        separate, _, height, width, contiguous = page.shaped
        rows, columns = _segment_shape(page)
        down, across = -(-height // rows), -(-width // columns)
        first = (sample if separate > 1 else 0) * down * across
        result: NDArray[Any] = np.empty(window.shape, np.dtype(page.dtype).newbyteorder("="))
        for row in range(window.y0 // rows, -(-window.y1 // rows)):
            for column in range(window.x0 // columns, -(-window.x1 // columns)):
                segment = self._decode(first + row * across + column)
                box = _overlap(window, row * rows, column * columns, rows, columns)
                target = result[box.y0 - window.y0 : box.y1 - window.y0, box.x0 - window.x0 : box.x1 - window.x0]
                if segment is None:
                    target[...] = page.nodata
                    continue
                part = segment[
                    0,
                    box.y0 - row * rows : box.y1 - row * rows,
                    box.x0 - column * columns : box.x1 - column * columns,
                    sample if contiguous > 1 else 0,
                ]
                if part.shape != target.shape:
                    raise InputError(
                        f"{self._name}: page {page.index} holds a segment of {segment.shape[1:3]} px where "
                        f"{(rows, columns)} px are named; the file is damaged: write it again"
                    )
                target[...] = part
        return result

    def _decode(self, index: int) -> NDArray[Any] | None:
        """One decoded strip or tile ``(depth, Y, X, samples)``; ``None`` where the file leaves it out."""
        page = self._page
        size = int(page.databytecounts[index])
        if size == 0:
            return None
        data = read_bytes(self._descriptor, int(page.dataoffsets[index]), size, self._name)
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


class RawPlane:
    """One plane of a stack that is stored without gaps behind its first page (ImageJ, tifffile)."""

    def __init__(self, name: str, descriptor: int, page: tifffile.TiffPage, plane: int) -> None:
        """Locate the plane by its number."""
        self._name = name
        self._descriptor = descriptor
        self._shape: tuple[int, int] = (page.shaped[2], page.shaped[3])
        self._dtype = np.dtype(page.parent.byteorder + np.dtype(page.dtype).char)
        self._start = int(page.dataoffsets[0]) + plane * self._shape[0] * self._shape[1] * self._dtype.itemsize

    def read(self, sample: int, window: Window) -> NDArray[Any]:
        """Pixels ``(Y, X)`` within ``window``; a plane has one sample."""
        rows = read_rows(self._descriptor, self._start, self._shape, self._dtype, window, self._name)
        return np.ascontiguousarray(rows, self._dtype.newbyteorder("="))


def _segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Rows and columns of a full strip or tile."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _overlap(window: Window, y0: int, x0: int, rows: int, columns: int) -> Window:
    """Cut out the part of ``window`` that a segment at ``(y0, x0)`` covers."""
    return Window(max(window.y0, y0), min(window.y1, y0 + rows), max(window.x0, x0), min(window.x1, x0 + columns))


def compression_name(page: tifffile.TiffPage) -> str:
    """Name of a page's codec, or its number where it has none."""
    return getattr(page.compression, "name", str(page.compression))


def read_bytes(descriptor: int, offset: int, size: int, name: str) -> bytes:
    """Exactly ``size`` bytes at ``offset``.

    Raises
    ------
    InputError
        if the file ends before them
    """
    parts = []
    while size > 0:
        part = os.pread(descriptor, min(size, 1 << 30), offset)
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
    for row in range(window.y0, window.y1):
        offset = start + (row * width + window.x0) * dtype.itemsize
        result[row - window.y0] = np.frombuffer(
            read_bytes(descriptor, offset, (window.x1 - window.x0) * dtype.itemsize, name), dtype
        )
    return result


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
    rows, columns = _segment_shape(page.keyframe)
    _, depth, height, width, contiguous = page.keyframe.shaped
    expected = separate * depth * -(-height // rows) * -(-width // columns)
    if not page.keyframe.is_final and (len(offsets) < expected or len(counts) < expected):
        raise InputError(
            f"{name}: page {page.index} names {min(len(offsets), len(counts))} strips or tiles, "
            f"expected {expected}; the file is damaged: write it again"
        )
    ends = offsets + counts
    if page.keyframe.is_final and len(offsets):
        needed = separate * depth * height * width * contiguous * np.dtype(page.keyframe.dtype).itemsize
        ends = np.append(ends, offsets[0] + np.uint64(needed))
    if len(ends) == 0 or int(ends.max()) > size:
        found = int(ends.max()) if len(ends) else 0
        raise InputError(
            f"{name}: the file is cut short: page {page.index} needs {found} bytes, the file has {size}; "
            "copy or write it again"
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
    head = struct.calcsize(count_format)
    tags = int(struct.unpack(count_format, read_bytes(descriptor, offset, head, name))[0])
    link = offset + head + tags * entry
    if tags > MAX_TAGS or link + struct.calcsize(link_format) > size:
        raise InputError(
            f"{name}: the page directory at byte {offset} is damaged ({tags} tags); copy or write the file again"
        )
    return int(struct.unpack(link_format, read_bytes(descriptor, link, struct.calcsize(link_format), name))[0])
