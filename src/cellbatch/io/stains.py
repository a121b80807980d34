"""Brightfield colour images as channels: red, green and blue, and the stains that they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellbatch.errors import InputError
from cellbatch.io.reader import BaseReader, ImageReader
from cellbatch.spec import ImageHeader, Window

COLOURS = ("R", "G", "B")
# optical density of each stain in red, green and blue
STAINS = {
    "Hematoxylin": (0.65, 0.70, 0.29),
    "Eosin": (0.07, 0.99, 0.11),
    "DAB": (0.27, 0.57, 0.78),
}


class StainReader(BaseReader):
    """A colour image as six channels: its colours as they are, and the amount of three stains, all float32.

    The amount of a stain is its optical density, 0 for none; background is dark, as in fluorescence.

    Parameters
    ----------
    name : what messages call it
    colours : open image with the channels red, green and blue, 8 or 16 bits each

    Raises
    ------
    InputError
        for other types of pixels, whose white is not known

    References
    ----------
    Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution (2001).
    """

    def __init__(self, name: str, colours: ImageReader) -> None:
        """Fix the channels and the matrix."""
        header = colours.header
        if header.dtype not in ("uint8", "uint16"):
            raise InputError(
                f"{name}: is a colour image of {header.dtype}, whose white is not known; write it with 8 or 16 bits"
            )
        named = ImageHeader(
            shape=(len(COLOURS) + len(STAINS), *header.shape[1:]),
            dtype="float32",
            channel_names=(*COLOURS, *STAINS),
            image_mpp=header.image_mpp,
            format=header.format,
            forced_bytes=header.forced_bytes,
            is_colour=True,
        )
        super().__init__(name, named)
        self._colours = colours
        self._white = np.iinfo(header.dtype).max
        vectors = np.array(list(STAINS.values()))
        self._unmix = np.linalg.inv(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every stored resolution, the full one first."""
        return self._colours.levels

    def block_shape(self, channel: int) -> tuple[int, int]:
        """Rows and columns that the file decodes together."""
        del channel
        return self._colours.block_shape(0)

    def _read(self, channel: int, window: Window, level: int) -> NDArray[Any]:
        """Pixels of a window that has been checked."""
        if channel < len(COLOURS):
            return self._colours.read(channel, window, level).astype(np.float32)
        weights = self._unmix[:, channel - len(COLOURS)]
        amount = np.zeros(window.shape)
        for colour, weight in enumerate(weights):
            stored = self._colours.read(colour, window, level).astype(np.float64)
            amount -= weight * np.log10((stored + 1) / (self._white + 1))
        return np.maximum(amount, 0).astype(np.float32)

    def close(self) -> None:
        """Close the image."""
        self._colours.close()
