"""NumPy files, read by rectangle."""

from __future__ import annotations

import math
import threading
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cellbatch.errors import InputError, let_pass
from cellbatch.io.reader import NUMERIC_KINDS, BaseReader, ReadOptions, checked_header, refuse_channels_last
from cellbatch.io.scratch import scratch_file
from cellbatch.io.tiff_metadata import plausible_mpp
from cellbatch.spec import ImageHeader, Window

IMAGE_KEYS = ("image", "arr_0", "X")
COPY_BYTES = 1 << 20
LONGEST_HEADER = 1 << 16
LARGEST_NOTE = 1 << 22


@dataclass(frozen=True)
class _Layout:
    """How an array lies in its file, and the order in which its axes are C, Y and X."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    offset: int
    order: tuple[int, ...]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Lengths of C (where there is one), Y and X."""
        return tuple(self.shape[axis] for axis in self.order)

    def read(self, file: Path | IO[bytes], channel: int, window: Window) -> NDArray[Any]:
        """Copy a rectangle out of a mapping that lasts no longer: mapped pages count as the task's memory."""
        array: NDArray[Any] = np.memmap(
            file, self.dtype, "r", self.offset, self.shape, "F" if self.is_fortran else "C"
        ).view(np.ndarray)
        planes = np.transpose(array, self.order)
        pixels = planes[(channel, *window.slices) if planes.ndim == 3 else window.slices]
        return np.array(pixels, pixels.dtype.newbyteorder("="), order="C", ndmin=2)


class NpyReader(BaseReader):
    """Array in a file of its own."""

    def __init__(self, name: str, header: ImageHeader, path: Path, layout: _Layout) -> None:
        """Keep where the pixels lie."""
        super().__init__(name, header)
        self._path = path
        self._layout = layout

    def _read(self, channel: int, window: Window, level: int) -> NDArray[Any]:
        """Pixels of a window that has been checked."""
        return self._layout.read(self._path, channel, window)


class NpzReader(BaseReader):
    """Array in an archive, which is unpacked to disk piece by piece when its pixels are first asked for."""

    def __init__(self, name: str, header: ImageHeader, source: tuple[Path, str], layout: _Layout) -> None:
        """Keep the archive and the name of the array in it."""
        super().__init__(name, header)
        self._path, self._key = source
        self._layout = layout
        self._copy: IO[bytes] | None = None
        self._lock = threading.Lock()

    def _read(self, channel: int, window: Window, level: int) -> NDArray[Any]:
        """Pixels of a window that has been checked."""
        with self._lock:
            if self._copy is None:
                self._copy = self._unpack()
        return self._layout.read(self._copy, channel, window)

    def _unpack(self) -> IO[bytes]:
        """Copy the array to a nameless file."""
        with zipfile.ZipFile(self._path) as archive:
            entry = archive.getinfo(f"{self._key}.npy")
            with ExitStack() as stack:
                copy = stack.enter_context(scratch_file(entry.file_size))
                try:
                    with archive.open(entry) as source:
                        while data := source.read(COPY_BYTES):
                            copy.write(data)
                except MemoryError:
                    raise
                except Exception as error:
                    let_pass(self._name, error)
                    # Damage surfaces as an error of the zip reader or of the decompressor.
                    raise InputError(
                        f"{self._name}: {self._key} cannot be unpacked ({error}); save it again with numpy.savez"
                    ) from error
                stack.pop_all()
        return copy

    def close(self) -> None:
        """Give the disk back."""
        if self._copy is not None:
            self._copy.close()


def open_npy(path: Path, name: str, options: ReadOptions) -> NpyReader:
    """Open an ``.npy`` file of shape ``(Y, X)`` or ``(C, Y, X)``.

    Raises
    ------
    InputError
        if it is cut short, holds Python objects, or its shape is neither
    """
    del options
    try:
        with path.open("rb") as file:
            layout = _read_layout(file)
        size = layout.offset + int(np.prod(layout.shape, dtype=np.int64)) * layout.dtype.itemsize
        if path.stat().st_size < size:
            raise ValueError(f"it is cut short: it needs {size} bytes and has {path.stat().st_size}")
    except MemoryError:
        raise
    except Exception as error:
        let_pass(name, error)
        # A damaged header surfaces as an error of NumPy, of the tokenizer or of the system.
        raise InputError(f"{name}: cannot be read as NumPy file ({error}); save it again with numpy.save") from error
    return NpyReader(name, _header(name, layout, "npy"), path, layout)


def open_npz(path: Path, name: str, options: ReadOptions) -> NpzReader:
    """Open an ``.npz`` file.

    The image is the array ``image`` (or the only one); ``channel_names``, ``image_mpp`` and ``axes`` (for example
    ``"YXC"``) may stand beside it.

    Raises
    ------
    InputError
        if it is damaged, holds Python objects or no image
    """
    del options
    try:
        with zipfile.ZipFile(path) as archive:
            keys = [one.removesuffix(".npy") for one in archive.namelist() if one.endswith(".npy")]
            key = next((key for key in IMAGE_KEYS if key in keys), keys[0] if len(keys) == 1 else "")
            if not key:
                raise InputError(f"{name}: holds the arrays {keys}, expected one named 'image'")
            labels = [str(value) for value in _read_note(archive, "channel_names")] if "channel_names" in keys else []
            mpp = float(_read_note(archive, "image_mpp").item()) if "image_mpp" in keys else None
            axes = str(_read_note(archive, "axes").item()).upper() if "axes" in keys else ""
            with archive.open(f"{key}.npy") as file:
                layout = _read_layout(file)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        let_pass(name, error)
        # Damage surfaces as an error of NumPy, of the zip reader or of the decompressor.
        raise InputError(f"{name}: cannot be read as NPZ ({error}); save it again with numpy.savez") from error
    if axes:
        if sorted(axes) not in (sorted("YX"), sorted("CYX")) or len(axes) != len(layout.shape):
            raise InputError(f"{name}: axes {axes!r} for shape {layout.shape}, expected YX, CYX or YXC")
        order = tuple(axes.index(axis) for axis in "CYX" if axis in axes)
        layout = _Layout(layout.shape, layout.is_fortran, layout.dtype, layout.offset, order)
    return NpzReader(name, _header(name, layout, "npz", labels, mpp, named=bool(axes)), (path, key), layout)


def _read_layout(file: IO[bytes]) -> _Layout:
    """Read the header of an array; one that claims to be longer than any would fill the memory."""
    version = np.lib.format.read_magic(file)
    start = file.tell()
    length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its header claims {length} bytes")
    file.seek(start)
    if version == (1, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, expected numbers")
    if dtype.kind not in NUMERIC_KINDS + "cU":
        raise ValueError(f"its values are of type {dtype}, expected numbers")
    return _Layout(tuple(shape), is_fortran, dtype, file.tell(), tuple(range(len(shape))))


def _read_note(archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    """Array of a few values or names that stands beside the image."""
    entry = archive.getinfo(f"{key}.npy")
    with archive.open(entry) as file:
        layout = _read_layout(file)
        size = math.prod(layout.shape) * layout.dtype.itemsize
        if entry.file_size > LARGEST_NOTE or layout.offset + size != entry.file_size:
            raise ValueError(f"{key} has {entry.file_size} bytes for {layout.shape} of {layout.dtype}")
        values = np.frombuffer(file.read(), layout.dtype)
    return values.reshape(layout.shape, order="F" if layout.is_fortran else "C")


def _header(
    name: str,
    layout: _Layout,
    kind: str,
    labels: list[str] | None = None,
    mpp: float | None = None,
    *,
    named: bool = False,
) -> ImageHeader:
    """Header of an array whose axes are YX or CYX."""
    shape = layout.image_shape
    if layout.dtype.kind == "U":  # which names beside an image may be
        raise InputError(f"{name}: holds text ({layout.dtype}), expected the numbers of an image; save those")
    if len(shape) not in (2, 3):
        raise InputError(f"{name}: has shape {shape}, expected (Y, X) or (C, Y, X); save it so")
    if len(shape) == 3 and not named:
        refuse_channels_last(name, shape)
    count, height, width = shape if len(shape) == 3 else (1, *shape)
    names = tuple(labels or ("",) * count)
    if len(names) != count:
        raise InputError(f"{name}: {len(names)} channel names for {count} channels; correct channel_names")
    header = ImageHeader(
        shape=(count, height, width),
        dtype=layout.dtype.newbyteorder("=").name,
        channel_names=names,
        image_mpp=plausible_mpp(name, mpp),
        format=kind,
    )
    return checked_header(name, header)
