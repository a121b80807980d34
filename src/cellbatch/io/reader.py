"""What every image reader offers, whatever the format."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from cellbatch.errors import InputError
from cellbatch.io.closing import Closing
from cellbatch.spec import ImageHeader, ReadOptions, Window

__all__ = [
    "NUMERIC_KINDS",
    "PLAUSIBLE_MPP",
    "BaseReader",
    "ImageReader",
    "ReadOptions",
    "checked_header",
    "isotropic_mpp",
    "refuse_channels_last",
]

NUMERIC_KINDS = "buif"
PLAUSIBLE_MPP = (0.01, 100.0)
# An axis of unknown meaning that is longer than this in front of a shorter X is a YXC array seen as CYX.
CHANNELS_FIRST_LIMIT = 32


class ImageReader(Protocol):
    """An open image; use it as a context manager."""

    @property
    def header(self) -> ImageHeader:
        """Shape, dtype, channel names and pixel size."""
        ...

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every stored resolution, the full one first."""
        ...

    def block_shape(self, channel: int) -> tuple[int, int]:
        """Rows and columns that the file decodes together: reading whole multiples decodes nothing twice."""
        ...

    def missing_chunks(self, channel: int) -> int:
        """Count the parts of a channel that the file leaves out and that read as fill value."""
        ...

    def read(self, channel: int, window: Window | None = None, level: int = 0) -> NDArray[Any]:
        """Pixels ``(Y, X)`` of one channel (0-based) in the stored dtype, whole or within ``window``."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self:
        """Return the reader itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the reader."""
        ...


class BaseReader(Closing):
    """Context manager and argument checks shared by the readers; a format adds ``_read`` and ``close``."""

    def __init__(self, name: str, header: ImageHeader) -> None:
        """Keep the name for messages and the header."""
        self._name = name
        self._header = header

    @property
    def header(self) -> ImageHeader:
        """Shape, dtype, channel names and pixel size."""
        return self._header

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every stored resolution, the full one first."""
        return (self._header.shape[1:],)

    def block_shape(self, channel: int) -> tuple[int, int]:
        """Rows and columns that the file decodes together: reading whole multiples decodes nothing twice."""
        del channel
        return 1, self._header.shape[2]

    def missing_chunks(self, channel: int) -> int:
        """Count the parts of a channel that the file leaves out and that read as fill value.

        Raises
        ------
        InputError
            if they cannot have been left out on purpose
        """
        del channel
        return 0

    def read(self, channel: int, window: Window | None = None, level: int = 0) -> NDArray[Any]:
        """Read pixels of one channel; threads may call it at once.

        Parameters
        ----------
        channel : 0-based index
        window : half-open rectangle in px inside the image; ``None`` = the whole plane
        level : resolution, an index of ``levels``; the window counts in its pixels

        Returns
        -------
        ndarray, shape (Y, X)
            stored dtype in the machine's byte order

        Raises
        ------
        ValueError
            if channel, level or window lie outside the image
        InputError
            if the pixels cannot be decoded
        """
        count = self._header.shape[0]
        if not 0 <= channel < count:
            raise ValueError(f"channel {channel} of {self._name}: expected 0 to {count - 1}")
        if not 0 <= level < len(self.levels):
            raise ValueError(f"level {level} of {self._name}: expected 0 to {len(self.levels) - 1}")
        height, width = self.levels[level]
        box = Window(0, height, 0, width) if window is None else Window(*window)
        if not (0 <= box.y0 < box.y1 <= height and 0 <= box.x0 < box.x1 <= width):
            raise ValueError(f"window {tuple(box)} of {self._name}: expected inside {height} x {width} px")
        return self._read(channel, box, level)

    def _read(self, channel: int, window: Window, level: int) -> NDArray[Any]:
        """Pixels of a window that has been checked."""
        raise NotImplementedError


def checked_header(name: str, header: ImageHeader) -> ImageHeader:
    """Refuse what no later step can use: no pixels, or values that are not real numbers.

    Raises
    ------
    InputError
        naming the file, what was found and what to do
    """
    count, height, width = header.shape
    if min(header.shape) < 1:
        raise InputError(
            f"{name}: the image is empty ({count} channels of {height} x {width} px); leave it out of the samplesheet"
        )
    if np.dtype(header.dtype).kind not in NUMERIC_KINDS:
        raise InputError(
            f"{name}: pixels of type {header.dtype} cannot be segmented; expected integers or floating point: "
            "convert the image (complex data: take the magnitude)"
        )
    return header


def refuse_channels_last(name: str, shape: tuple[int, ...]) -> None:
    """Refuse a ``(Y, X, C)`` array that would be read as ``(C, Y, X)`` because nothing names its axes.

    Raises
    ------
    InputError
        if the first axis is at least 32 long, the last one shorter than 32
    """
    if shape[0] >= CHANNELS_FIRST_LIMIT > shape[-1]:
        raise InputError(
            f"{name}: shape {shape} without axis names looks like (Y, X, C), expected (C, Y, X); "
            "save it with the channel axis first, or as OME-TIFF or NPZ with its axes named"
        )


def isotropic_mpp(name: str, y_um: float | None, x_um: float | None) -> float | None:
    """One pixel size in µm from the two of the file; ``None`` where either is absent.

    Raises
    ------
    InputError
        if the two differ by more than 1 %
    """
    if y_um is None or x_um is None:
        return None
    if abs(y_um - x_um) > 0.01 * max(y_um, x_um):
        raise InputError(
            f"{name}: pixels are not square ({x_um:g} µm in X, {y_um:g} µm in Y); expected equal sizes within 1 %: "
            "resample the image or correct its metadata"
        )
    return x_um
