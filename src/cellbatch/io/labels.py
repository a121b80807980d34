"""Label images as OME-TIFF: tiled, compressed, with a pyramid where they are large, the same bytes every time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol
from xml.sax.saxutils import quoteattr

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

from cellbatch.errors import InputError
from cellbatch.io.atomic import atomic_path
from cellbatch.io.images import open_image
from cellbatch.io.label_store import LabelStore
from cellbatch.spec import Window

TILE = 512
PYRAMID_ABOVE = 4096
SMALLEST_LEVEL = 1024
# A classic TIFF ends at 4 GiB; some room is left for directories.
CLASSIC_LIMIT_BYTES = 2**32 - 2**25
ZLIB_LEVEL = 6
STORAGE: dict[str, Any] = {
    "dtype": np.uint32,
    "photometric": "minisblack",
    "compression": "zlib",
    "metadata": None,
    "software": False,
    "maxworkers": 1,
}
OME_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


class LabelSource(Protocol):
    """Labels that are read by rectangles: an array, a memory map, a store, a view."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""

    @property
    def dtype(self) -> Any:
        """Kind of numbers."""

    def __getitem__(self, key: tuple[slice, slice]) -> ArrayLike:
        """Labels of a rectangle; slices without steps."""


def write_labels(
    path: Path,
    labels: LabelSource,
    image_mpp: float | None,
    name: str,
    threads: int = 1,
    count_px: Callable[[int], None] = lambda pixels: None,
) -> None:
    """Write a label image.

    Parameters
    ----------
    path : file to write; it appears only when complete
    labels : (Y, X) of uint32, 0 = background; read by rectangles of some tiles at most
    image_mpp : µm per px; ``None`` leaves the size out
    name : name of the channel, for example ``whole_cell``
    threads : tiles compressed at once
    count_px : is told the pixels of each tile of the full size that is written, for a bar of progress

    Raises
    ------
    TypeError
        if the labels are not uint32
    ValueError
        if they are not two-dimensional or empty

    Notes
    -----
    Tiles of 512 px (smaller for smaller images), zlib. An axis above 4096 px adds levels of half the size (every
    second pixel of the level before) down to 1024 px, as SubIFDs. BigTIFF where the uncompressed size calls for it.
    No date, no random identifier and no version is written, so equal labels give equal files, whatever the threads.
    Memory stays at some tiles; smaller levels wait on disk beside the file.

    References
    ----------
    OME-TIFF specification, pyramids as SubIFDs (OME, 2016-06 schema and later).
    """
    if labels.dtype != np.uint32:
        raise TypeError(f"labels of type {labels.dtype}, expected uint32")
    if len(labels.shape) != 2 or 0 in labels.shape:
        raise ValueError(f"labels of shape {labels.shape}, expected (Y, X) with at least one pixel")
    height, width = labels.shape
    steps = _pyramid_steps(height, width)
    xml = _ome_xml((height, width), image_mpp, name).encode("utf-8")
    resolution = (1e4 / image_mpp, 1e4 / image_mpp) if image_mpp else (1, 1)
    tile = (_tile_side(height), _tile_side(width))
    big = math.ceil(4 * height * width * 4 / 3) > CLASSIC_LIMIT_BYTES
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(path))
        tif = stack.enter_context(tifffile.TiffWriter(temporary, bigtiff=big, byteorder="<", ome=False))
        level = labels
        for step in steps:
            smaller = stack.enter_context(LabelStore(_half(level.shape), path.parent)) if step < steps[-1] else None
            first = {"description": xml, "subifds": len(steps) - 1 or None}
            tiles = _encoded_tiles(level, smaller, tile, threads)
            tif.write(
                _counted(tiles, labels.shape, tile, count_px) if step == 1 else tiles,
                shape=level.shape,
                resolution=(resolution[0] / step, resolution[1] / step),
                resolutionunit="CENTIMETER" if image_mpp else "NONE",
                tile=tile,
                **(first if step == 1 else {"subfiletype": 1}),
                **STORAGE,
            )
            level = smaller or level


def read_labels(path: Path, window: Window | None = None) -> NDArray[np.uint32]:
    """Read a label image, or a rectangle of it.

    Parameters
    ----------
    path : file with one channel of integers
    window : half-open rectangle in px; ``None`` = the whole image

    Returns
    -------
    ndarray of uint32, shape (Y, X)

    Raises
    ------
    InputError
        if the file cannot be read, has more than one channel, or holds anything but whole numbers of 0 to 2**32 - 1
    """
    with open_image(path) as reader:
        if reader.header.shape[0] != 1 or np.dtype(reader.header.dtype).kind not in "ui":
            raise InputError(
                f"{path}: {reader.header.shape[0]} channels of {reader.header.dtype}, expected one of integers; "
                "give a label image"
            )
        pixels = reader.read(0, window)
    if pixels.dtype != np.uint32 and (int(pixels.min()) < 0 or int(pixels.max()) > np.iinfo(np.uint32).max):
        raise InputError(
            f"{path}: labels from {pixels.min()} to {pixels.max()}, expected 0 to 2**32 - 1; renumber them"
        )
    return pixels.astype(np.uint32, copy=False)


def _pyramid_steps(height: int, width: int) -> list[int]:
    """List the sampling steps of all levels, 1 first."""
    steps = [1]
    if max(height, width) > PYRAMID_ABOVE:
        while -(-max(height, width) // steps[-1]) > SMALLEST_LEVEL:
            steps.append(steps[-1] * 2)
    return steps


def _tile_side(size: int) -> int:
    """Side of a tile: 512 px, or the image's own size rounded up to the 16 px that TIFF asks for."""
    return min(TILE, -(-size // 16) * 16)


def _half(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the next level."""
    return -(-shape[0] // 2), -(-shape[1] // 2)


def _encoded_tiles(
    labels: LabelSource, smaller: LabelStore | None, tile: tuple[int, int], threads: int
) -> Iterator[bytes]:
    """Compressed tiles of a level in raster order, on the way of which the next level is filled."""
    corners, encode = _corners(labels.shape, tile), partial(_encode_tile, labels, smaller, tile)
    return map(encode, corners) if threads == 1 else _map_ahead(encode, corners, threads)


def _corners(shape: tuple[int, ...], tile: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """First pixel of each tile, in raster order."""
    return ((y, x) for y in range(0, shape[0], tile[0]) for x in range(0, shape[1], tile[1]))


def _counted(
    tiles: Iterator[bytes], shape: tuple[int, ...], tile: tuple[int, int], count_px: Callable[[int], None]
) -> Iterator[bytes]:
    """Give tiles on, and tell the pixels of the image in each."""
    for encoded, (y, x) in zip(tiles, _corners(shape, tile), strict=True):
        count_px(min(tile[0], shape[0] - y) * min(tile[1], shape[1] - x))
        yield encoded


def _encode_tile(
    labels: LabelSource, smaller: LabelStore | None, tile: tuple[int, int], corner: tuple[int, int]
) -> bytes:
    """Compress one tile, filled up with background, and give every second pixel of it to the next level."""
    y, x = corner
    part = np.asarray(
        labels[y : min(y + tile[0], labels.shape[0]), x : min(x + tile[1], labels.shape[1])], np.uint32
    ).astype("<u4", copy=False)
    if not part.any():
        return _blank_tile(tile)
    if smaller is not None:
        (y0, x0), (height, width) = (y // 2, x // 2), _half(part.shape)
        smaller[y0 : y0 + height, x0 : x0 + width] = np.ascontiguousarray(part[::2, ::2])
    if part.shape != tile:
        part = np.pad(part, [(0, size - found) for size, found in zip(tile, part.shape, strict=True)])
    return bytes(imagecodecs.deflate_encode(part.tobytes(), ZLIB_LEVEL))


@lru_cache(maxsize=4)
def _blank_tile(tile: tuple[int, int]) -> bytes:
    """Compress background, which large images have much of."""
    return bytes(imagecodecs.deflate_encode(bytes(4 * tile[0] * tile[1]), ZLIB_LEVEL))


def _map_ahead(function: Callable[[Any], bytes], items: Iterable[Any], threads: int) -> Iterator[bytes]:
    """Results in order, with only a few waiting, which bounds the memory."""
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _ome_xml(shape: tuple[int, int], image_mpp: float | None, name: str) -> str:
    """OME header of one channel, free of dates, versions and random identifiers."""
    size = ""
    if image_mpp:
        size = "".join(f' PhysicalSize{axis}="{image_mpp!r}" PhysicalSize{axis}Unit="µm"' for axis in "XY")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME_NAMESPACE}" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{OME_NAMESPACE} {OME_NAMESPACE}/ome.xsd" Creator="cellbatch">'
        f'<Image ID="Image:0" Name={quoteattr(name)}><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint32" '
        f'SizeX="{shape[1]}" SizeY="{shape[0]}" SizeC="1" SizeZ="1" SizeT="1"{size}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1" Name={quoteattr(name)}/>'
        '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
    )
