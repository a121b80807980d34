"""What the channels hold inside each region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.measurement import CHANNEL_TYPES, INTENSITY_NAMES, Runs, measure_channel
from cellbatch.measurement.regions import MeasuredImage
from cellbatch.spec import Window


def measure_intensities(
    image: MeasuredImage, window: Window, regions: Sequence[Runs], threads: int = 1
) -> NDArray[np.float64]:
    """Statistics of every channel, one channel in memory at a time.

    Parameters
    ----------
    image : gives the channels
    window : that holds all regions
    regions : pixels of the same ``k`` labels in each compartment, counted from the window's first pixel

    Returns
    -------
    (k, compartments * statistics * channels) float64
        NaN for a compartment without a pixel (its total is 0), and wherever a pixel is NaN. The median of an even
        number of pixels is the mean of the two in the middle. Sums of integers up to 32 bits are exact.
    """
    shape = (len(regions[0]), len(regions), len(INTENSITY_NAMES), len(image.channel_names))
    values = np.empty(shape)
    for position in range(len(image.channel_names)):
        channel = kernel_channel(image.read_channel(position, window))
        for compartment, runs in enumerate(regions):
            values[:, compartment, :, position] = measure_channel(runs, channel, threads)
    return values.reshape(shape[0], -1)


def kernel_channel(pixels: NDArray[np.number]) -> NDArray[np.number]:
    """Pixels in a type that the kernels take, without loss of value."""
    dtype = pixels.dtype.newbyteorder("=")
    if dtype not in CHANNEL_TYPES:
        dtype = {"b": np.dtype(np.uint8), "f": np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)}[dtype.kind]
    return np.ascontiguousarray(pixels, dtype)
