"""An image with its labels as OME-Zarr 0.5, written block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellbatch.geometry.blocks import BlockGrid
from cellbatch.io.atomic import atomic_path
from cellbatch.io.labels import LabelSource
from cellbatch.io.zarr_shards import ShardedWriter, group_document, write_document
from cellbatch.spec import Window

VERSION = "0.5"
BLOCK_PX = 1024
SMALLEST_LEVEL = 1024
# four arrays of five levels with a document and a shard each, and five groups: 45 files
MOST_LEVELS = 5
COLORS = {"nuclear": "0000FF", "membrane": "00FF00"}
BRIGHTEST = 99.9


@dataclass(frozen=True)
class ZarrImage:
    """The channels that were segmented.

    Attributes
    ----------
    shape : (Y, X)
    dtype : kind of numbers that ``read`` gives
    image_mpp : µm per px
    channels : role (``nuclear``, ``membrane``) to the name that viewers show
    read : pixels (Y, X) of a role within a window
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    image_mpp: float
    channels: Mapping[str, str]
    read: Callable[[str, Window], NDArray[Any]]


def write_label_zarr(path: Path, image: ZarrImage, labels: Mapping[str, LabelSource]) -> None:
    """Write an OME-Zarr folder of at most 50 files.

    Parameters
    ----------
    path : folder to write; it appears only when complete
    image : becomes the parent group, a multiscale image (c, y, x)
    labels : uint32 (Y, X) by name; become groups inside ``labels/``, multiscale images (y, x)

    Raises
    ------
    ValueError
        If labels have another shape than the image, or are not uint32.

    Notes
    -----
    An axis above 1024 px adds levels of half the size (of a quarter where more than five levels would be needed): means
    of pixels, every second label. Each array is one shard of chunks of 512 px. Memory stays at some chunks. Equal input
    gives equal files.

    References
    ----------
    OME-NGFF specification, version 0.5.
    """
    for name, source in labels.items():
        if tuple(source.shape) != image.shape or source.dtype != np.uint32:
            raise ValueError(f"labels {name} {source.dtype} {source.shape}, expected uint32 {image.shape}")
    factors = _level_factors(image.shape)
    with atomic_path(path) as temporary:
        write_document(temporary / "labels", group_document({"ome": {"version": VERSION, "labels": list(labels)}}))
        for name, source in labels.items():
            folder = temporary / "labels" / name
            _write_levels(folder, factors, _Pyramid.of_labels(source))
            attributes = _multiscales(name, factors, image.image_mpp, is_label=True)
            write_document(folder, group_document({"ome": attributes}))
        factors, shown = write_image_levels(temporary, image)
        attributes = _multiscales(path.name.split(".")[0], factors, image.image_mpp, is_label=False)
        write_document(temporary, group_document({"ome": attributes | {"omero": shown}}))


def write_image_levels(folder: Path, image: ZarrImage) -> tuple[list[int], dict[str, Any]]:
    """Write the pixels of an image and its smaller levels, without a word about them.

    Parameters
    ----------
    folder : gets the arrays ``0``, ``1``, …, (C, Y, X) each
    image : as in ``write_label_zarr``

    Returns
    -------
    factors : how many px of the first level a px of each level stands for, along an axis
    shown : names, colours and contrast of the channels (``omero``)
    """
    factors = _level_factors(image.shape)
    return factors, _omero(image, _write_levels(folder, factors, _Pyramid.of_image(image)))


@dataclass(frozen=True)
class _Pyramid:
    """How the first level is read, and how others follow."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    channels: int | None
    read: Callable[[Window, int | None], NDArray[Any]]
    shrink: Callable[[NDArray[Any], int], NDArray[Any]]

    @classmethod
    def of_labels(cls, labels: LabelSource) -> _Pyramid:
        """Every second label, so that no number is made up."""
        height, width = labels.shape
        return cls(
            (height, width),
            np.dtype(np.uint32),
            None,
            lambda window, _: np.asarray(labels[window.slices], np.uint32),
            lambda block, factor: block[::factor, ::factor],
        )

    @classmethod
    def of_image(cls, image: ZarrImage) -> _Pyramid:
        """Means of pixels."""
        roles = list(image.channels)
        return cls(
            image.shape,
            image.dtype,
            len(roles),
            lambda window, channel: image.read(roles[channel or 0], window),
            _mean,
        )


def _level_factors(shape: tuple[int, int]) -> list[int]:
    """How many px of the first level a px of each level stands for, along an axis."""
    for step in (2, 4):
        factors = [1]
        while max(shape) / factors[-1] > SMALLEST_LEVEL and len(factors) < MOST_LEVELS:
            factors.append(factors[-1] * step)
        if max(shape) / factors[-1] <= 4 * SMALLEST_LEVEL:
            break
    return factors


def _write_levels(folder: Path, factors: list[int], pyramid: _Pyramid) -> NDArray[np.float64]:
    """Write all levels; lowest, highest and a bright value of each channel come back."""
    channels: list[int | None] = [None] if pyramid.channels is None else list(range(pyramid.channels))
    ranges = np.zeros((len(channels), 3))
    with ExitStack() as stack:
        previous: ShardedWriter | None = None
        for level, factor in enumerate(factors):
            shape = (-(-pyramid.shape[0] // factor), -(-pyramid.shape[1] // factor))
            leading = () if pyramid.channels is None else (pyramid.channels,)
            writer = stack.enter_context(ShardedWriter(folder / str(level), (*leading, *shape), pyramid.dtype))
            for channel in channels:
                read = pyramid.read
                if previous is not None:
                    read = _smaller(previous, factor // factors[level - 1], pyramid.shrink)
                for core in BlockGrid(shape, BLOCK_PX).cores():
                    block = read(core, channel)
                    writer.write(core, block, channel)
                    if previous is None and channel is not None:
                        is_first = (core.y0, core.x0) == (0, 0)
                        _widen(ranges[channel], block, is_first=is_first)
            previous = writer
        if previous is not None and pyramid.channels:
            height, width = previous.shape[-2:]
            for channel in range(pyramid.channels):
                ranges[channel, 2] = np.percentile(previous.read(Window(0, height, 0, width), channel), BRIGHTEST)
    return ranges


def _widen(found: NDArray[np.float64], block: NDArray[Any], *, is_first: bool) -> None:
    """Take a block into the range of a channel."""
    lowest, highest = float(block.min()), float(block.max())
    found[:2] = (lowest, highest) if is_first else (min(found[0], lowest), max(found[1], highest))


def _smaller(
    source: ShardedWriter, step: int, shrink: Callable[[NDArray[Any], int], NDArray[Any]]
) -> Callable[[Window, int | None], NDArray[Any]]:
    """Read of a level that is computed from the one before."""
    height, width = source.shape[-2:]

    def read(window: Window, channel: int | None) -> NDArray[Any]:
        y1, x1 = min(step * window.y1, height), min(step * window.x1, width)
        return shrink(source.read(Window(step * window.y0, y1, step * window.x0, x1), channel), step)

    return read


def _mean(block: NDArray[Any], step: int) -> NDArray[Any]:
    """Means of squares of pixels, of what there is of them at the border, rounded for whole numbers."""
    rows = np.arange(0, block.shape[0], step)
    columns = np.arange(0, block.shape[1], step)
    sums = np.add.reduceat(np.add.reduceat(block.astype(np.float64), rows, axis=0), columns, axis=1)
    heights = np.diff(rows, append=block.shape[0])
    widths = np.diff(columns, append=block.shape[1])
    means = sums / np.outer(heights, widths)
    pixels: NDArray[Any] = (means if block.dtype.kind == "f" else np.rint(means)).astype(block.dtype)
    return pixels


def _multiscales(name: str, factors: list[int], image_mpp: float, *, is_label: bool) -> dict[str, Any]:
    """Describe the levels: a mean of pixels lies between them, a label where it was taken."""
    axes: list[dict[str, str]] = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    datasets = []
    for level, factor in enumerate(factors):
        scale = [image_mpp * factor] * 2
        shift = [0.0 if is_label else image_mpp * (factor - 1) / 2] * 2
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale if is_label else [1.0, *scale]}]
        if any(shift):
            transformations.append({"type": "translation", "translation": [0.0, *shift]})
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    described: dict[str, Any] = {
        "version": VERSION,
        "multiscales": [
            {
                "name": name,
                "axes": axes if is_label else [{"name": "c", "type": "channel"}, *axes],
                "datasets": datasets,
                "type": "nearest" if is_label else "mean",
            }
        ],
    }
    return described | {"image-label": {"source": {"image": "../../"}}} if is_label else described


def _omero(image: ZarrImage, ranges: NDArray[np.float64]) -> dict[str, Any]:
    """Names, colours and contrast for viewers."""
    channels = []
    for (role, name), (lowest, highest, bright) in zip(image.channels.items(), ranges.tolist(), strict=True):
        window = {"min": lowest, "max": highest, "start": lowest, "end": bright if bright > lowest else highest}
        channels.append({"label": name, "color": COLORS[role], "active": True, "window": window})
    return {"channels": channels, "rdefs": {"model": "color"}}
