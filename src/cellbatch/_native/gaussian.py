"""Arrays into the Gaussian filters and out again. What goes in has been checked by the caller."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.library import SmoothingKernel, check, load_library

Pixels = NDArray[np.float32]


def gaussian_weights(sigma: float) -> NDArray[np.float64] | None:
    """Weights of the centre and of the neighbours 1, 2, … px away; None where nothing is smoothed.

    The truncation (4 sigma), the order of operations and the normalisation are those of ``scipy.ndimage``.
    """
    if sigma <= 1e-15:
        return None
    radius = int(4 * float(sigma) + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * offsets**2)
    return np.ascontiguousarray((weights / weights.sum())[radius:])


def smooth(values: Pixels, sigma: float, threads: int = 1) -> Pixels:
    """Gaussian filter of a contiguous float32 map, equal to ``scipy.ndimage.gaussian_filter``."""
    weights = gaussian_weights(sigma)
    if weights is None:
        return values.copy()
    smoothed = np.empty_like(values)
    kernel = smoothing_kernel(weights)
    status = load_library().smooth_map(
        values.ctypes.data, *values.shape, ctypes.byref(kernel), threads, smoothed.ctypes.data
    )
    check(status, "smooth_map", values.shape)
    return smoothed


def blur(pixels: Pixels, sigmas: tuple[float, float]) -> Pixels:
    """Gaussian filter of an image (Y, X, C) along Y and X, with zeros outside the image."""
    source = np.ascontiguousarray(pixels, np.float32)
    blurred = np.empty_like(source)
    unblurred = np.ones(1)
    weights = [gaussian_weights(sigma) for sigma in sigmas]
    kernels = [smoothing_kernel(unblurred if one is None else one) for one in weights]
    status = load_library().blur_image(
        source.ctypes.data,
        *source.shape,
        ctypes.byref(kernels[0]),
        ctypes.byref(kernels[1]),
        blurred.ctypes.data,
    )
    check(status, "blur_image", source.shape)
    return blurred


def smoothing_kernel(weights: NDArray[np.float64] | None) -> SmoothingKernel:
    """Weights as the kernels take them; the array must outlive the call."""
    if weights is None:
        return SmoothingKernel(None, -1)
    return SmoothingKernel(weights.ctypes.data, len(weights) - 1)
