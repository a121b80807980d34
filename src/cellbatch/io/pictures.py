"""Grey PNG and JPEG pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cellbatch.errors import InputError, let_pass
from cellbatch.io.reader import BaseReader, ReadOptions, checked_header
from cellbatch.spec import ImageHeader, Window

GREY_MODES = {"L": "uint8", "I;16": "uint16", "I;16B": "uint16", "I;16L": "uint16", "I": "int32", "F": "float32"}
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# No codec packs real pixels this densely; a picture that claims it, and is large, would only fill memory.
DENSEST = 2000
HARMLESS_BYTES = 2**26


class ArrayReader(BaseReader):
    """Array ``(C, Y, X)`` in memory."""

    def __init__(self, name: str, header: ImageHeader, array: NDArray[Any]) -> None:
        """Keep the array."""
        super().__init__(name, header)
        self._array = array

    def _read(self, channel: int, window: Window, level: int) -> NDArray[Any]:
        """Pixels of a window that has been checked."""
        pixels = self._array[(channel, *window.slices)]
        return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


def open_picture(path: Path, name: str, options: ReadOptions) -> ArrayReader:
    """Read a grey PNG or JPEG; the formats can only be decompressed whole, and state no usable pixel size.

    Raises
    ------
    InputError
        if it is damaged, or in colour without ``allow_rgb``
    """
    try:
        check_chunks(path, name)
        with _open_picture(path) as picture:
            _refuse_bomb(name, picture, path.stat().st_size)
            kind, mode = str(picture.format).lower(), picture.mode
            if mode in ("RGB", "RGBA") and options.allow_rgb:
                pixels = np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
                return _picture_reader(name, pixels, kind, ("R", "G", "B"))
            if mode not in GREY_MODES:
                hint = ", or give --allow_rgb" if mode in ("RGB", "RGBA") else ""
                raise InputError(f"{name}: is a {mode} picture, expected grey values; convert it to grey{hint}")
            pixels = np.asarray(picture).astype(GREY_MODES[mode], copy=False)[np.newaxis]
            return _picture_reader(name, pixels, kind, ("",))
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: is too large a picture ({error}); convert it to OME-TIFF") from error
    except (OSError, ValueError, SyntaxError) as error:
        let_pass(name, error)
        raise InputError(f"{name}: cannot be read as PNG or JPEG ({error}); write it again") from error


def check_chunks(path: Path, name: str) -> None:
    """Prove that every chunk of a PNG ends inside the file: the decoder takes its word for its length.

    Raises
    ------
    InputError
        at the first that does not

    References
    ----------
    PNG specification (third edition), 5.3.
    """
    size, place = path.stat().st_size, len(PNG_MAGIC)
    with path.open("rb") as file:
        if file.read(place) != PNG_MAGIC:
            return
        while place < size:
            file.seek(place)
            head = file.read(8)
            place += 12 + int.from_bytes(head[:4], "big")
            if len(head) < 8 or place > size:
                raise InputError(f"{name}: the file is cut short or damaged at byte {place} of {size}; copy it again")
            if head[4:] == b"IEND":
                return


def _refuse_bomb(name: str, picture: Image.Image, stored: int) -> None:
    """Refuse a picture that claims far more pixels than its bytes can hold."""
    claimed = picture.width * picture.height * 2
    if claimed > HARMLESS_BYTES and claimed > DENSEST * stored:
        raise InputError(
            f"{name}: claims {picture.width} x {picture.height} px in {stored} bytes; the file is damaged or made to "
            "fill the memory: write it again"
        )


def _open_picture(path: Path) -> Image.Image:
    """Open a picture; one so large that Pillow warns of it is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=("PNG", "JPEG"))


def _picture_reader(name: str, pixels: NDArray[Any], kind: str, channel_names: tuple[str, ...]) -> ArrayReader:
    """Reader of a decoded picture ``(C, Y, X)``."""
    header = ImageHeader(
        shape=(pixels.shape[0], pixels.shape[1], pixels.shape[2]),
        dtype=pixels.dtype.newbyteorder("=").name,
        channel_names=channel_names,
        image_mpp=None,
        format=kind,
        forced_bytes=2 * pixels.nbytes,
        is_colour=len(pixels) > 1,
    )
    return ArrayReader(name, checked_header(name, header), pixels)
