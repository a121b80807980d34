"""NumPy files, and grey PNG and JPEG pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cellbatch.errors import InputError
from cellbatch.io.reader import BaseReader, ReadOptions, checked_header, refuse_channels_last
from cellbatch.io.tiff_metadata import plausible_mpp
from cellbatch.spec import ImageHeader, Window

IMAGE_KEYS = ("image", "arr_0", "X")
GREY_MODES = {"L": "uint8", "I;16": "uint16", "I;16B": "uint16", "I;16L": "uint16", "I": "int32", "F": "float32"}


class ArrayReader(BaseReader):
    """Array ``(C, Y, X)`` in memory or mapped from its file."""

    def __init__(self, name: str, header: ImageHeader, array: NDArray[Any]) -> None:
        """Keep the array."""
        super().__init__(name, header)
        self._array = array

    def _read(self, channel: int, window: Window) -> NDArray[Any]:
        """Pixels of a window that has been checked."""
        pixels = self._array[(channel, *window.slices)]
        return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


def open_npy(path: Path, name: str, options: ReadOptions) -> ArrayReader:
    """Map an ``.npy`` file of shape ``(Y, X)`` or ``(C, Y, X)``.

    Raises
    ------
    InputError
        if it is cut short, holds Python objects, or its shape is neither
    """
    del options
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:
        # A damaged header surfaces as an error of NumPy, of the tokenizer or of the system.
        raise InputError(f"{name}: cannot be read as NumPy file ({error}); save it again with numpy.save") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name}: is an NPZ archive under the name of an NPY file; rename it")
    return _array_reader(name, array, "npy")


def open_npz(path: Path, name: str, options: ReadOptions) -> ArrayReader:
    """Read an ``.npz`` file.

    The image is the array ``image`` (or the only one); ``channel_names``, ``image_mpp`` and ``axes`` (for example
    ``"YXC"``) may stand beside it. The format can only be decompressed whole.

    Raises
    ------
    InputError
        if it is damaged, holds Python objects or no image
    """
    del options
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = list(archive.files)
            key = next((key for key in IMAGE_KEYS if key in keys), keys[0] if len(keys) == 1 else "")
            if not key:
                raise InputError(f"{name}: holds the arrays {keys}, expected one named 'image'")
            array = archive[key]
            labels = [str(value) for value in archive["channel_names"]] if "channel_names" in keys else []
            mpp = float(archive["image_mpp"]) if "image_mpp" in keys else None
            axes = str(archive["axes"]).upper() if "axes" in keys else ""
    except (InputError, MemoryError):
        raise
    except Exception as error:
        # Damage surfaces as an error of NumPy, of the zip reader or of the decompressor.
        raise InputError(f"{name}: cannot be read as NPZ ({error}); save it again with numpy.savez") from error
    if axes:
        if sorted(axes) not in (sorted("YX"), sorted("CYX")) or len(axes) != array.ndim:
            raise InputError(f"{name}: axes {axes!r} for shape {array.shape}, expected YX, CYX or YXC")
        array = np.transpose(array, [axes.index(axis) for axis in "CYX" if axis in axes])
    return _array_reader(name, array, "npz", labels, mpp, named=bool(axes))


def open_picture(path: Path, name: str, options: ReadOptions) -> ArrayReader:
    """Read a grey PNG or JPEG; the formats can only be decompressed whole, and state no usable pixel size.

    Raises
    ------
    InputError
        if it is damaged, or in colour without ``allow_rgb``
    """
    try:
        with _open_picture(path) as picture:
            kind, mode = str(picture.format).lower(), picture.mode
            if mode in ("RGB", "RGBA") and options.allow_rgb:
                pixels = np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
                return _array_reader(name, pixels, kind, ["R", "G", "B"], named=True)
            if mode not in GREY_MODES:
                raise InputError(f"{name}: is a {mode} picture, expected grey values; convert it to grey")
            return _array_reader(name, np.asarray(picture).astype(GREY_MODES[mode], copy=False), kind)
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: is too large a picture ({error}); convert it to OME-TIFF") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{name}: cannot be read as PNG or JPEG ({error}); write it again") from error


def _open_picture(path: Path) -> Image.Image:
    """Open a picture; one so large that Pillow warns of it is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=("PNG", "JPEG"))


def _array_reader(
    name: str,
    array: NDArray[Any],
    kind: str,
    labels: list[str] | None = None,
    mpp: float | None = None,
    *,
    named: bool = False,
) -> ArrayReader:
    """Reader of an array whose axes are YX or CYX."""
    if array.ndim not in (2, 3):
        raise InputError(f"{name}: has shape {array.shape}, expected (Y, X) or (C, Y, X); save it so")
    if array.ndim == 3 and not named:
        refuse_channels_last(name, array.shape)
    stack = array if array.ndim == 3 else array[np.newaxis]
    names = tuple(labels or ("",) * stack.shape[0])
    if len(names) != stack.shape[0]:
        raise InputError(f"{name}: {len(names)} channel names for {stack.shape[0]} channels; correct channel_names")
    header = ImageHeader(
        shape=(stack.shape[0], stack.shape[1], stack.shape[2]),
        dtype=stack.dtype.newbyteorder("=").name,
        channel_names=names,
        image_mpp=plausible_mpp(name, mpp),
        format=kind,
    )
    return ArrayReader(name, checked_header(name, header), stack)
