"""Label images as OME-TIFF: tiled, compressed, with a pyramid where they are large, the same bytes every time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellbatch.errors import InputError
from cellbatch.io.atomic import atomic_path
from cellbatch.io.images import open_image
from cellbatch.spec import Window

TILE = 512
PYRAMID_ABOVE = 4096
SMALLEST_LEVEL = 1024
# A classic TIFF ends at 4 GiB; some room is left for directories.
CLASSIC_LIMIT_BYTES = 2**32 - 2**25
STORAGE: dict[str, Any] = {
    "dtype": np.uint32,
    "photometric": "minisblack",
    "compression": "zlib",
    "compressionargs": {"level": 6},
    "metadata": None,
    "software": False,
}
OME_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def write_labels(path: Path, labels: NDArray[Any], image_mpp: float | None, name: str) -> None:
    """Write a label image.

    Parameters
    ----------
    path : file to write; it appears only when complete
    labels : (Y, X) of uint32, 0 = background; read tile by tile, so a memory map does as well
    image_mpp : µm per px; ``None`` leaves the size out
    name : name of the channel, for example ``whole_cell``

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
    No date, no random identifier and no version is written, so equal labels give equal files.

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
    xml = _ome_xml(labels.shape, image_mpp, name).encode("utf-8")
    resolution = (1e4 / image_mpp, 1e4 / image_mpp) if image_mpp else (1, 1)
    tile = (_tile_side(height), _tile_side(width))
    big = math.ceil(4 * height * width * 4 / 3) > CLASSIC_LIMIT_BYTES
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=big, byteorder="<", ome=False) as tif:
        for step in steps:
            first = {"description": xml, "subifds": len(steps) - 1 or None}
            tif.write(
                _tiles(labels, step, tile),
                shape=(-(-height // step), -(-width // step)),
                resolution=(resolution[0] / step, resolution[1] / step),
                resolutionunit="CENTIMETER" if image_mpp else "NONE",
                tile=tile,
                **(first if step == 1 else {"subfiletype": 1}),
                **STORAGE,
            )


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


def _tiles(labels: NDArray[Any], step: int, tile: tuple[int, int]) -> Iterator[NDArray[np.uint32]]:
    """Tiles of a level in raster order; the last ones are filled up with background."""
    height, width = labels.shape
    for y0 in range(0, height, tile[0] * step):
        for x0 in range(0, width, tile[1] * step):
            part = np.asarray(labels[y0 : y0 + tile[0] * step : step, x0 : x0 + tile[1] * step : step], np.uint32)
            if part.shape == tile:
                yield np.ascontiguousarray(part)
            else:
                filled = np.zeros(tile, np.uint32)
                filled[: part.shape[0], : part.shape[1]] = part
                yield filled


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
