"""OME-Zarr images, versions 0.4 (Zarr 2) and 0.5 (Zarr 3, sharded too)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cellbatch.errors import InputError, let_pass
from cellbatch.io.reader import BaseReader, ReadOptions, checked_header, isotropic_mpp
from cellbatch.io.stacks import Stack, choose_stack, project
from cellbatch.io.tiff_metadata import plausible_mpp, stated_um
from cellbatch.io.zarr_chunks import ChunkProofs, absent_chunks, chunk_memory, count_chunks
from cellbatch.spec import ImageHeader, Window

if TYPE_CHECKING:
    import zarr

VERSIONS = ("0.4", "0.5")
COARSE_MARGIN_PX, MOST_CHANNELS = 2, 1 << 16  # the names of more would fill the memory
ROOT_FILES = ("zarr.json", ".zgroup", ".zattrs")


class OmeZarrReader(BaseReader):
    """Open OME-Zarr image."""

    def __init__(self, name: str, header: ImageHeader, folders: Sequence[Path], axes: str, stack: Stack) -> None:
        """Keep the folders of all levels, the full resolution first, the order of their axes, and the planes meant."""
        super().__init__(name, header)
        self._folders = folders
        self._arrays = [_open_array(folder) for folder in folders]
        self._axes = axes
        self._stack = stack
        self._proofs = [ChunkProofs(*one, axes) for one in zip(folders, self._arrays, strict=True)]

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every stored resolution, the full one first."""
        y, x = self._axes.index("y"), self._axes.index("x")
        return tuple((array.shape[y], array.shape[x]) for array in self._arrays)

    def block_shape(self, channel: int) -> tuple[int, int]:
        """Rows and columns of a chunk; inside a shard, of a chunk in it."""
        chunks = self._arrays[0].chunks
        return chunks[self._axes.index("y")], chunks[self._axes.index("x")]

    def missing_chunks(self, channel: int) -> int:
        """Count the chunks of a channel that are not stored and read as fill value.

        Raises
        ------
        InputError
            if none is stored, or a coarser level shows that one was not empty
        """
        array = self._arrays[0]
        try:
            absent = [
                (plane, window)
                for plane in self._stack.planes
                for window in absent_chunks(self._folders[0], array, self._axes, self._place(channel, plane))
            ]
        except ValueError as error:
            raise InputError(f"{self._name}: {error}; copy or write it again") from error
        if len(absent) == count_chunks(array, self._axes) * len(self._stack.planes):
            raise InputError(
                f"{self._name}: none of the {len(absent)} chunks of channel {channel} is stored; copy it again"
            )
        for plane, window in absent if len(self._arrays) > 1 else ():
            self._check_empty(channel, plane, window)
        return len(absent)

    def _check_empty(self, channel: int, plane: int, window: Window) -> None:
        """Refuse a chunk that is not stored though the next coarser level has values there."""
        (height, width), (coarse_height, coarse_width) = self.levels[:2]
        down, across = coarse_height / height, coarse_width / width
        # pixels beside the chunk shine through a smoothed border
        y0, y1 = math.ceil(window.y0 * down) + COARSE_MARGIN_PX, math.floor(window.y1 * down) - COARSE_MARGIN_PX
        x0, x1 = math.ceil(window.x0 * across) + COARSE_MARGIN_PX, math.floor(window.x1 * across) - COARSE_MARGIN_PX
        if y0 >= y1 or x0 >= x1:
            return
        pixels = self._read_plane(channel, plane, Window(y0, y1, x0, x1), 1)
        if (pixels != (self._arrays[0].fill_value or 0)).any():
            raise InputError(
                f"{self._name}: the chunk of channel {channel} at rows {window.y0} to {window.y1}, columns {window.x0} "
                f"to {window.x1} is not stored, but the next coarser level shows pixels there; copy it again"
            )

    def _place(self, channel: int, plane: int) -> dict[str, int]:
        """Index along every axis but Y and X."""
        return {axis: {"c": channel, self._stack.axis: plane}.get(axis, 0) for axis in self._axes if axis not in "yx"}

    def _read(self, channel: int, window: Window, level: int) -> NDArray[Any]:
        """Pixels of a window that has been checked."""
        planes = (self._read_plane(channel, plane, window, level) for plane in self._stack.planes)
        return project(planes, self._stack)

    def _read_plane(self, channel: int, plane: int, window: Window, level: int) -> NDArray[Any]:
        """Pixels of one plane of a stack."""
        place = self._place(channel, plane)
        places: dict[str, int | slice] = {**place, "y": window.slices[0], "x": window.slices[1]}
        try:
            self._proofs[level].check(place, window)
            pixels = np.asarray(self._arrays[level][tuple(places[axis] for axis in self._axes)])
        except MemoryError:
            raise
        except Exception as error:
            let_pass(self._name, error)
            raise InputError(
                f"{self._name}: cannot read rows {window.y0} to {window.y1}, columns {window.x0} to {window.x1} of "
                f"channel {channel} ({error}); a chunk is damaged: copy or write it again"
            ) from error
        if self._axes.index("x") < self._axes.index("y"):
            pixels = pixels.T
        return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder is the root of a Zarr hierarchy."""
    return path.is_dir() and any((path / file).is_file() for file in ROOT_FILES)


def open_ome_zarr(path: Path, name: str, options: ReadOptions) -> OmeZarrReader:
    """Open level 0 of an OME-Zarr image.

    Parameters
    ----------
    path : folder of the image group
    name : what messages call it
    options : choices that the file leaves open

    Returns
    -------
    OmeZarrReader
        axes as the metadata names them; of z and t the named planes

    Raises
    ------
    InputError
        if the metadata is incomplete, or describes a plate, several images or a stack

    References
    ----------
    OME-NGFF 0.4 and 0.5; Zarr 2 and 3.
    """
    attributes = _attributes(path, name)
    metadata, version = _ome_metadata(attributes, name)
    if "bioformats2raw.layout" in metadata and "multiscales" not in metadata:
        return _open_only_series(path, name, options)
    if "plate" in metadata or "well" in metadata:
        raise InputError(f"{name}: is a plate, expected an image; give one row per field, e.g. {name}/A/1/0")
    multiscales = metadata.get("multiscales")
    if not isinstance(multiscales, list) or not multiscales:
        raise InputError(f"{name}: holds no multiscales metadata; expected OME-Zarr 0.4 or 0.5: convert it again")
    try:
        return _reader(path, name, multiscales[0], (metadata, version), options)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        let_pass(name, error)
        # Metadata of the wrong shape surfaces in the Zarr library as errors of any kind.
        raise InputError(
            f"{name}: its OME-Zarr metadata is incomplete or does not fit its arrays "
            f"({type(error).__name__}: {error}); expected version 0.4 or 0.5: convert it again"
        ) from error


def _reader(
    path: Path, name: str, multiscale: Mapping[str, Any], ome: tuple[Mapping[str, Any], str], options: ReadOptions
) -> OmeZarrReader:
    """Open level 0 and read its axes, sizes and names."""
    metadata, version = ome
    axes, units = _axes(multiscale)
    datasets = multiscale["datasets"]
    folders = [_inside(path, str(one["path"])) for one in datasets]
    array = _open_array(folders[0])
    scale = _scale(multiscale, datasets[0], len(axes))
    stack = _check_axes(name, axes, array.shape, options)
    # a scale of 1 without a unit is how writers say nothing
    said = {axis: (scale[at], units[at]) for at, axis in enumerate(axes) if scale and (scale[at], units[at]) != (1, "")}
    sizes = {axis: stated_um(name, f"scale along {axis}", *said[axis]) if axis in said else None for axis in "yx"}
    count = array.shape[axes.index("c")] if "c" in axes else 1
    header = ImageHeader(
        shape=(count, array.shape[axes.index("y")], array.shape[axes.index("x")]),
        dtype=stack.dtype(array.dtype).newbyteorder("=").name,
        channel_names=_channel_names(metadata, count),
        image_mpp=plausible_mpp(name, isotropic_mpp(name, sizes["y"], sizes["x"])),
        format=f"ome-zarr-{version}",
        forced_bytes=chunk_memory(array),
    )
    if stack.axis:  # levels that have fewer planes, too, cannot stand for the same ones
        at = axes.index(stack.axis)
        folders = [folder for folder in folders if _open_array(folder).shape[at] == array.shape[at]]
    reader = OmeZarrReader(name, checked_header(name, header), folders, axes, stack)
    for level, (rows, columns) in enumerate(reader.levels[1:], 1):
        if rows > reader.levels[level - 1][0] or columns > reader.levels[level - 1][1]:
            raise ValueError(f"level {level} of {rows} x {columns} px is larger than the one before")
    return reader


def _attributes(path: Path, name: str) -> Mapping[str, Any]:
    """Attributes of the root group."""
    import zarr  # slow to import, and most images are TIFF

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(zarr.open_group(str(path), mode="r").attrs)
    except MemoryError:
        raise
    except Exception as error:
        let_pass(name, error)
        raise InputError(f"{name}: cannot be opened as Zarr ({error}); expected OME-Zarr 0.4 or 0.5") from error


def _inside(path: Path, inside: str) -> Path:
    """Folder of an array; the path comes from the file and must stay inside it."""
    if not inside or any(part in ("", "..") for part in inside.rstrip("/").split("/")):
        raise ValueError(f"dataset path {inside!r} leaves the image")
    return path / inside


def _open_array(folder: Path) -> zarr.Array[Any]:
    """Open an array of the hierarchy."""
    import zarr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zarr.open_array(str(folder), mode="r")


def _ome_metadata(attributes: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], str]:
    """Find the OME part of the attributes, and its version."""
    if isinstance(attributes.get("ome"), Mapping):
        metadata: Mapping[str, Any] = attributes["ome"]
        version = str(metadata.get("version", "0.5"))
    else:
        metadata = attributes
        scales = attributes.get("multiscales")
        first: Any = scales[0] if isinstance(scales, list) and scales else {}
        version = str(first.get("version", "0.4")) if isinstance(first, Mapping) else "0.4"
    if version not in VERSIONS:
        raise InputError(f"{name}: is OME-Zarr {version}, expected {' or '.join(VERSIONS)}; convert it")
    return metadata, version


def _open_only_series(path: Path, name: str, options: ReadOptions) -> OmeZarrReader:
    """Open the single image of a bioformats2raw folder."""
    series = sorted(child.name for child in path.iterdir() if child.name.isdigit())
    if series != ["0"]:
        raise InputError(f"{name}: holds {len(series)} images, expected one; give one row per image, e.g. {name}/0")
    return open_ome_zarr(path / "0", f"{name}/0", options)


def _axes(multiscale: Mapping[str, Any]) -> tuple[str, list[str]]:
    """One letter and one unit per axis."""
    names = [str(axis["name"]).lower() for axis in multiscale["axes"]]
    if any(len(axis) != 1 for axis in names) or len(set(names)) != len(names):
        raise ValueError(f"axes {names}")
    if not {"y", "x"} <= set(names):
        raise ValueError(f"axes {names} without y and x")
    return "".join(names), [str(axis.get("unit") or "") for axis in multiscale["axes"]]


def _scale(multiscale: Mapping[str, Any], dataset: Mapping[str, Any], count: int) -> list[float] | None:
    """Size of a pixel of level 0 per axis: the level's scale times the image's."""
    total: list[float] | None = None
    for holder in (dataset, multiscale):
        for transform in holder.get("coordinateTransformations") or []:
            if transform.get("type") == "scale":
                scale = [float(value) for value in transform["scale"]]
                if len(scale) != count:
                    raise ValueError(f"scale {scale} for {count} axes")
                total = scale if total is None else [a * b for a, b in zip(total, scale, strict=True)]
    return total


def _check_axes(name: str, axes: str, shape: tuple[int, ...], options: ReadOptions) -> Stack:
    """Give the planes that are meant; refuse axes of other kinds."""
    if len(shape) != len(axes):
        raise InputError(f"{name}: array of shape {shape} for axes {axes}; convert it again")
    stack = choose_stack(name, dict(zip(axes, shape, strict=True)), options)
    for axis, size in zip(axes, shape, strict=True):
        if size > (MOST_CHANNELS if axis == "c" else 1) and axis not in "yx" + stack.axis:
            raise InputError(f"{name}: has an axis {axis!r} of length {size}, expected c, y and x; write a 2-D image")
    return stack


def _channel_names(metadata: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Labels of the omero block where it has one per channel."""
    omero = metadata.get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list) or len(channels) != count:
        return ("",) * count
    labels = (channel.get("label") if isinstance(channel, Mapping) else "" for channel in channels)
    return tuple(str(label or "").strip() for label in labels)
