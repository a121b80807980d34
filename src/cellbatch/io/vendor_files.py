"""CZI, LIF and ND2 through the plugins of bioio, which are installed on demand: ``pip install 'cellbatch[bioio]'``.

References
----------
bioio-base (BSD-3); bioio-czi is GPL-3, bioio-lif BSD-3, bioio-nd2 MIT: none is a dependency or part of this package.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellbatch.errors import InputError, let_pass
from cellbatch.io.reader import BaseReader, ReadOptions, checked_header, isotropic_mpp
from cellbatch.io.scratch import ScratchPlanes
from cellbatch.io.stacks import Stack, choose_stack, project
from cellbatch.io.tiff_metadata import plausible_mpp, stated_um
from cellbatch.spec import ImageHeader, Window

PLUGINS = {".czi": "bioio_czi", ".lif": "bioio_lif", ".nd2": "bioio_nd2"}
READ_AXES = "TCZYX"
# what bioio calls channels that a file gives no name
UNNAMED = re.compile(r"(Image:\d+:)?Channel:\d+(:\d+)*|C?\d+")
# a plane that is decoded as a whole, and is larger, is named in the plan with its memory
LARGE_PLANE_BYTES = 32 << 20


class VendorReader(BaseReader):
    """An open image of a microscope's own format.

    Parameters
    ----------
    name : what messages call it
    header : as checked
    image : the plugin's reader
    stack : which planes make a channel
    """

    def __init__(self, name: str, header: ImageHeader, image: Any, stack: Stack) -> None:
        """Keep the plugin's reader; nothing is decoded yet."""
        super().__init__(name, header)
        self._image = image
        self._stack = stack
        self._copies: dict[int, ScratchPlanes] = {}
        self._block = _block_of(image)
        self._lock = threading.Lock()

    def block_shape(self, channel: int) -> tuple[int, int]:
        """Rows and columns that the plugin decodes together."""
        return self._block

    def _read(self, channel: int, window: Window, level: int) -> NDArray[Any]:
        """Pixels of a window that has been checked; the plugins are not made for threads."""
        with self._lock:
            if self._block != self._header.shape[1:]:
                return self._decode(channel, window)
            if channel not in self._copies:
                self._copies[channel] = self._copy(channel)
        return self._copies[channel].read(0, window)

    def _copy(self, channel: int) -> ScratchPlanes:
        """Unpack a channel that can only be decoded whole, so that it is decoded once however often it is read."""
        _, height, width = self._header.shape
        with ExitStack() as stack:
            planes = stack.enter_context(ScratchPlanes((1, height, width), self._header.dtype))
            whole = Window(0, height, 0, width)
            planes.write(0, whole, self._decode(channel, whole))
            stack.pop_all()
        return planes

    def _decode(self, channel: int, window: Window) -> NDArray[Any]:
        """Pixels of a rectangle, of all planes that make the channel."""
        try:
            pixels = project(self._planes(channel, window), self._stack)
        except MemoryError:
            raise
        except Exception as error:
            let_pass(self._name, error)
            raise InputError(
                f"{self._name}: channel {channel} cannot be decoded ({type(error).__name__}: {error}); "
                "copy the file again, or convert it to OME-TIFF"
            ) from error
        if pixels.shape != window.shape or pixels.dtype != np.dtype(self._header.dtype):
            raise InputError(
                f"{self._name}: channel {channel} has {pixels.shape} px of {pixels.dtype}, its header says "
                f"{window.shape} of {self._header.dtype}; convert it to OME-TIFF"
            )
        return pixels

    def _planes(self, channel: int, window: Window) -> Iterator[NDArray[Any]]:
        """Each plane of a channel, one in memory at a time."""
        for plane in self._stack.planes:
            place = {"C": channel, self._stack.axis.upper(): plane}
            pixels = _plane(self._image, place)[window.slices].compute(scheduler="synchronous")
            yield np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))

    def close(self) -> None:
        """Give scratch and file back."""
        for copy in self._copies.values():
            copy.close()
        close = getattr(self._image, "close", None)
        if callable(close):
            close()


def open_vendor_file(path: Path, name: str, options: ReadOptions) -> VendorReader:
    """Open a CZI, LIF or ND2 file of one image.

    Parameters
    ----------
    path : file
    name : what messages call it
    options : choices that the file leaves open

    Raises
    ------
    InputError
        if the plugin is not installed, the file damaged, of several images or tiles, in colour, or a stack of which no
        plane is named
    """
    plugin = find_plugin(path.suffix.lower(), name)
    try:
        image = plugin(str(path))
        scenes = tuple(image.scenes)
        sizes = {str(axis): int(size) for axis, size in zip(image.dims.order, image.dims.shape, strict=True)}
        labels = list(image.channel_names or ())
        pixel = image.physical_pixel_sizes
        dtype = np.dtype(image.dtype)
    except MemoryError:
        raise
    except Exception as error:
        let_pass(name, error)
        raise InputError(
            f"{name}: cannot be read as {path.suffix[1:].upper()} ({type(error).__name__}: {error}); copy it again, or "
            "convert it to OME-TIFF"
        ) from error
    stack = _check_axes(name, scenes, sizes, options)
    count, shape = sizes.get("C", 1), (sizes["Y"], sizes["X"])
    plane_bytes = shape[0] * shape[1] * dtype.itemsize
    is_whole = _block_of(image) == shape
    header = ImageHeader(
        shape=(count, *shape),
        dtype=stack.dtype(dtype).newbyteorder("=").name,
        channel_names=_channel_names(labels, count),
        image_mpp=_pixel_size(name, pixel.Y, pixel.X),
        format=path.suffix[1:].lower(),
        forced_bytes=2 * plane_bytes if is_whole and plane_bytes > LARGE_PLANE_BYTES else 0,
    )
    return VendorReader(name, checked_header(name, header), image, stack)


def find_plugin(suffix: str, name: str) -> Any:
    """Give the reader class of a format's plugin.

    Raises
    ------
    InputError
        if it is not installed; it names what to install
    """
    package = PLUGINS[suffix]
    try:
        return importlib.import_module(package).Reader
    except ImportError as error:
        raise InputError(
            f"{name}: {suffix[1:].upper()} files are read by {package.replace('_', '-')}, which is not installed "
            f"({error}); pip install 'cellbatch[bioio]' where the tasks run, or convert the file to OME-TIFF"
        ) from error


def _plane(image: Any, place: dict[str, int]) -> Any:
    """One plane (Y, X), not decoded yet."""
    return image.get_image_dask_data("YX", **{axis: place.get(axis, 0) for axis in image.dims.order if axis in "TCZ"})


def _block_of(image: Any) -> tuple[int, int]:
    """Rows and columns that the plugin decodes together."""
    rows, columns = _plane(image, {}).chunksize
    return int(rows), int(columns)


def _check_axes(name: str, scenes: tuple[Any, ...], sizes: dict[str, int], options: ReadOptions) -> Stack:
    """Give the planes that are meant; refuse what is not one image of grey channels."""
    if len(scenes) != 1:
        told = ", ".join(map(str, scenes[:5]))
        raise InputError(f"{name}: holds {len(scenes)} images ({told}), expected one; write each as an OME-TIFF")
    others = {axis: size for axis, size in sizes.items() if size > 1 and axis not in READ_AXES}
    kinds = {"M": "is a mosaic of tiles: stitch it", "S": "is a colour image: convert it"}
    for axis, size in others.items():
        kind = kinds.get(axis, "is more than an image of channels: choose one")
        raise InputError(f"{name}: {kind} and write it as OME-TIFF (its axis {axis!r} has the length {size})")
    if not {"Y", "X"} <= set(sizes):
        raise InputError(f"{name}: has the axes {''.join(sizes)}, expected Y and X; convert it to OME-TIFF")
    return choose_stack(name, {axis.lower(): size for axis, size in sizes.items()}, options)


def _channel_names(labels: list[Any], count: int) -> tuple[str, ...]:
    """Names of the file where it has one per channel; those that bioio makes up are none."""
    if len(labels) != count:
        return ("",) * count
    names = (str(label or "").strip() for label in labels)
    return tuple("" if UNNAMED.fullmatch(name) else name for name in names)


def _pixel_size(name: str, y_um: float | None, x_um: float | None) -> float | None:
    """µm per px; exactly 1 is what writers put where nothing was calibrated, and is taken as not stated."""
    if y_um is None or x_um is None or (y_um, x_um) == (1, 1):
        return None
    sizes = [stated_um(name, f"pixel size along {axis}", float(um), "µm") for axis, um in (("Y", y_um), ("X", x_um))]
    return plausible_mpp(name, isotropic_mpp(name, sizes[0], sizes[1]))
