"""Outlines of cells and nuclei over a contrast-stretched image."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Light of both channels at full strength: each sum stays below 256, so that adding them needs no clipping.
NUCLEAR_RGB = (40, 85, 190)
MEMBRANE_RGB = (75, 140, 60)
# Yellow and reddish purple of the Okabe-Ito palette, the latter lightened to stand out on blue.
WHOLE_CELL_RGB = (255, 220, 50)
NUCLEAR_OUTLINE_RGB = (255, 110, 190)

MIN_SIDE_PX = 400
# outlines of cells narrower than this on the picture are paler
SMALL_CELL_PX = 10
MIN_STRENGTH = 0.35
MAX_SIDE_PX = 2048
WIDE_CELL_PX = 28
DASH_PX = 4
# Below 1 dim pixels gain: sparse counts of ion imaging would else be lost beside the outlines.
GAMMA = 0.75
STRETCH_PERCENTILES = (1.0, 99.7)
_SAMPLE_PX = 1 << 20
_STRIP_PX = 1 << 21

Labels = NDArray[np.integer]
Picture = NDArray[np.uint8]
Limits = tuple[float, float]
AnyPixel = TypeVar("AnyPixel", bound=np.generic)


def draw_overlay(
    image: NDArray[np.number],
    whole_cell: Labels | None,
    nuclear: Labels | None,
    *,
    limits: Sequence[Limits] | None = None,
    min_side: int = MIN_SIDE_PX,
) -> Picture:
    """Draw the outlines of cells (yellow) and nuclei (pink) over the nuclear (blue) and membrane (green) channels.

    Small images are magnified by a whole factor, pixels staying square; outlines are drawn afterwards, one px wide
    inside each label, two where cells are wide on a large picture, and paler where cells are so small that full ones
    would hide the image.

    Parameters
    ----------
    image : (Y, X) or (Y, X, C), any real type; channel 0 nuclear, channel 1, if any, membrane
    whole_cell, nuclear : (Y, X) labels, or None to draw no such outlines
    limits : lowest and highest value shown of each channel; None = robust percentiles of this image
    min_side : the shorter side is magnified up to at least this many px, as far as ``MAX_SIDE_PX`` allows

    Returns
    -------
    (Y', X', 3) uint8 RGB

    Raises
    ------
    ValueError
        The image is empty or has no such axes, or labels differ from it in shape.

    References
    ----------
    Colours after Okabe and Ito, Color Universal Design (2008), https://jfly.uni-koeln.de/color/
    """
    planes = image[:, :, None] if image.ndim == 2 else image
    if planes.ndim != 3 or 0 in planes.shape:
        raise ValueError(f"an overlay needs an image (Y, X) or (Y, X, C) with pixels, not the shape {image.shape}")
    for name, labels in (("whole_cell", whole_cell), ("nuclear", nuclear)):
        if labels is not None and labels.shape != planes.shape[:2]:
            raise ValueError(f"{name} labels have the shape {labels.shape}, the image has {planes.shape[:2]}")
    limits = limits or find_limits(planes)
    shape = _picture_shape(planes.shape[:2], min_side)
    picture = _magnify(_shine(planes, limits), shape)
    cells, nuclei = (None if labels is None else _outlines(labels, shape) for labels in (whole_cell, nuclear))
    strength = _outline_strength(nuclear if whole_cell is None else whole_cell, shape)
    if nuclei is not None:
        _paint(picture, nuclei, NUCLEAR_OUTLINE_RGB, strength)
    if cells is not None:
        _paint(picture, cells if nuclei is None else cells & (~nuclei | _dashes(shape)), WHOLE_CELL_RGB, strength)
    return picture


def find_limits(image: NDArray[np.number]) -> tuple[Limits, ...]:
    """Lowest and highest value to show of each channel: robust percentiles of its finite pixels.

    Parameters
    ----------
    image : (Y, X, C), any real type

    Returns
    -------
    tuple of (low, high), equal where a channel is constant or has no finite pixel
    """
    return tuple(_channel_limits(image[:, :, channel]) for channel in range(image.shape[2]))


def _channel_limits(channel: NDArray[np.number]) -> Limits:
    step = max(1, int(np.sqrt(channel.size / _SAMPLE_PX)))
    sample = np.asarray(channel[::step, ::step], np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    low, high = np.percentile(sample, STRETCH_PERCENTILES)
    if high <= low:
        low, high = sample.min(), sample.max()
    return float(low), float(high)


def stretch_contrast(channel: NDArray[np.number], limits: Limits | None = None) -> Picture:
    """Map a channel to 0 … 255 between two values; what is not finite or constant becomes 0.

    Parameters
    ----------
    channel : (Y, X), any real type
    limits : lowest and highest value shown; None = those of ``find_limits``

    Returns
    -------
    (Y, X) uint8
    """
    low, high = limits or _channel_limits(channel)
    grey = np.zeros(channel.shape, np.uint8)
    if not high > low:
        return grey
    rows = max(1, _STRIP_PX // channel.shape[1])
    for y0 in range(0, channel.shape[0], rows):
        strip = (channel[y0 : y0 + rows].astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        grey[y0 : y0 + rows] = np.nan_to_num(np.clip(strip, 0, 255), copy=False, nan=0)
    return grey


def inner_boundaries(labels: Labels) -> NDArray[np.bool_]:
    """Pixels of a label that touch another label or the background by a side; the image's border is no boundary.

    Parameters
    ----------
    labels : (Y, X) integer

    Returns
    -------
    (Y, X) bool
    """
    edge = np.zeros(labels.shape, np.bool_)
    for near, far in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        differs = near != far
        first, second = (edge[:-1], edge[1:]) if near.shape[1] == labels.shape[1] else (edge[:, :-1], edge[:, 1:])
        first |= differs
        second |= differs
    edge &= labels != 0
    return edge


def encode_png(picture: Picture) -> bytes:
    """Encode a picture as PNG, several times as fast as Pillow: every row as its difference to the one above.

    That one filter suits magnified pictures, where most rows repeat; the file is about as large as Pillow's.

    Parameters
    ----------
    picture : (Y, X, 3) uint8

    Returns
    -------
    bytes
        A PNG file.

    References
    ----------
    PNG (Portable Network Graphics) Specification, Third Edition, W3C (2025), sections 5 and 9.
    """
    height, width = picture.shape[:2]
    pixels = picture.reshape(height, 3 * width)
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2  # filter type "Up"
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", imagecodecs.deflate_encode(rows, level=1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def draw_thumbnail(overlay: Picture, max_bytes: int = 8000) -> bytes:
    """Shrink an overlay into a JPEG of at most ``max_bytes``, as large and good as fits.

    Parameters
    ----------
    overlay : (Y, X, 3) uint8
    max_bytes : upper limit of the file's size

    Returns
    -------
    bytes
        A JPEG file.

    Raises
    ------
    ValueError
        Not even the smallest thumbnail fits.
    """
    picture = Image.fromarray(overlay)
    side = 192
    while side >= 8:
        small = picture.copy()
        small.thumbnail((side, side), Image.Resampling.BOX)
        buffer = io.BytesIO()
        # Colour at full resolution: halved, thin outlines of cells and nuclei fade to the same grey.
        small.save(buffer, "JPEG", quality=50, subsampling=0, optimize=True)
        if buffer.tell() <= max_bytes:
            return buffer.getvalue()
        side = min(side - 8, int(0.97 * max(small.size) * (max_bytes / buffer.tell()) ** 0.5))
    raise ValueError(f"no thumbnail of at most {max_bytes} bytes can be made; allow more")


def _shine(planes: NDArray[np.number], limits: Sequence[Limits]) -> Picture:
    """Light of the first two channels; the three colours of a pixel are looked up and added as one 32-bit number."""
    light = np.zeros(planes.shape[:2], "<u4")
    for channel, rgb in zip(range(planes.shape[2]), (NUCLEAR_RGB, MEMBRANE_RGB), strict=False):
        colours = np.zeros((256, 4), np.uint8)
        colours[:, :3] = np.linspace(0, 1, 256)[:, None] ** GAMMA * np.array(rgb)
        light += np.take(colours.view("<u4").ravel(), stretch_contrast(planes[:, :, channel], limits[channel]))
    return np.ascontiguousarray(light.view(np.uint8).reshape(*light.shape, 4)[:, :, :3])


def _picture_shape(shape: tuple[int, int], min_side: int) -> tuple[int, int]:
    """Height and width of the picture of an image: a whole multiple of it."""
    factor = max(1, min(-(-min_side // min(shape)), MAX_SIDE_PX // max(shape)))
    return shape[0] * factor, shape[1] * factor


def _magnify(array: NDArray[AnyPixel], shape: tuple[int, int]) -> NDArray[AnyPixel]:
    """Repeat every pixel up to ``shape``, a whole multiple; what is as large stays as it is."""
    factor = shape[0] // array.shape[0]
    return array if factor <= 1 else array.repeat(factor, 1).repeat(factor, 0)


def _outlines(labels: Labels, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Inner boundaries of labels magnified to ``shape``."""
    labels = _magnify(labels, shape)
    edge = inner_boundaries(labels)
    if max(shape) > MAX_SIDE_PX // 2 and _median_diameter(labels) >= WIDE_CELL_PX:
        edge |= inner_boundaries(np.where(edge, 0, labels))
    return edge


def _outline_strength(labels: Labels | None, shape: tuple[int, int]) -> float:
    """How strongly outlines cover the image: fully, unless cells are only a few px wide on the picture."""
    if labels is None:
        return 1.0
    diameter = _median_diameter(labels) * shape[0] / labels.shape[0]
    return 1.0 if not diameter else float(np.clip(diameter / SMALL_CELL_PX, MIN_STRENGTH, 1))


def _paint(picture: Picture, mask: NDArray[np.bool_], rgb: tuple[int, int, int], strength: float) -> None:
    """Lay a colour over the pixels of a mask."""
    if strength >= 1:
        picture[mask] = rgb
    else:
        picture[mask] = ((1 - strength) * picture[mask] + strength * np.array(rgb)).astype(np.uint8)


@lru_cache(maxsize=1)
def _dashes(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Slanted stripes, so that two outlines in one place show in turn."""
    stripe = (np.add.outer(np.arange(shape[0], dtype=np.int32), np.arange(shape[1], dtype=np.int32)) // DASH_PX) & 1
    return stripe.astype(np.bool_)


def _median_diameter(labels: Labels) -> float:
    """Diameter in px of the circle with the median label's area, 0 without labels."""
    areas = np.unique(labels[labels != 0], return_counts=True)[1]
    return 2 * float(np.sqrt(np.median(areas) / np.pi)) if areas.size else 0.0
