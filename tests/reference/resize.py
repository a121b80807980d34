"""Bilinear resize of images with blur before shrinking."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

_ROWS_AT_ONCE_PX = 1 << 18


def resize_image(image: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize all channels of an image at once.

    An axis that shrinks by a factor f is blurred first with a Gaussian of sigma ``(f - 1) / 2`` px, with zeros outside
    the image. Pixel ``i`` reads at ``(i + 0.5) * (n_in / n_out) - 0.5``, bilinear in double with zeros outside, and is
    rounded to float32. The result is clipped to the minimum and maximum of the unblurred image over all channels
    together; exact zeros stay when 0 lies outside that range.

    Parameters
    ----------
    image : array_like, shape (Y, X, C)
        Real numbers without NaN or infinities; taken as float32.
    shape : (int, int)
        Wanted height and width in px.

    Returns
    -------
    ndarray of float32, shape (*shape, C)

    Raises
    ------
    TypeError
        If the pixels are not real numbers.
    ValueError
        If the image is not (Y, X, C), is empty or holds NaN or infinities, or `shape` is less than 1 px.

    References
    ----------
    The steps are those of ``skimage.transform.resize`` (order 1, mode constant, anti-aliasing) as DeepCell 0.12.10
    calls it, described in the method documentation of this project.
    """
    pixels = checked_image(image)
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"expected a height and width of at least 1 px, found {shape}")
    if pixels.shape[:2] == tuple(shape):
        return pixels.copy()
    factors = [n_in / n_out for n_in, n_out in zip(pixels.shape[:2], shape, strict=True)]
    sigmas = [max((factor - 1) / 2, 0) for factor in factors]
    blurred = ndimage.gaussian_filter(pixels, (*sigmas, 0), mode="constant", cval=0.0) if any(sigmas) else pixels
    resized = _interpolate(blurred, shape)
    lowest, highest = pixels.min(), pixels.max()
    clipped = np.clip(resized, lowest, highest)
    if not lowest <= 0 <= highest:
        clipped[resized == 0] = 0
    return clipped


def checked_image(image: ArrayLike) -> NDArray[np.float32]:
    """Pixels as float32 (Y, X, C), or the reason why they cannot be used."""
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "buif":
        raise TypeError(f"expected an image of real numbers, found dtype {pixels.dtype}")
    if pixels.ndim != 3:
        raise ValueError(f"expected an image of shape (Y, X, C), found shape {pixels.shape}")
    if 0 in pixels.shape:
        raise ValueError(f"expected an image with at least one pixel and channel, found shape {pixels.shape}")
    if pixels.dtype == np.float64 and np.abs(pixels).max() > float(np.finfo(np.float32).max):
        raise ValueError("the image holds NaN, infinite or larger values than float32 can take")
    pixels = pixels.astype(np.float32, copy=False)
    if not np.isfinite(pixels).all():
        raise ValueError("the image holds NaN or infinite values")
    return pixels


def _axis_terms(n_in: int, n_out: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Lower neighbour of each new pixel on an axis, in an image with one zero pixel around it, and its distance."""
    position = (np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5
    lower = np.floor(position)
    return lower.astype(np.intp) + 1, position - lower


def _interpolate(pixels: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear samples; the four terms are added row by row, in double, before the one rounding to float32."""
    height, width, channels = pixels.shape
    framed = np.zeros((height + 2, width + 2, channels))
    framed[1:-1, 1:-1] = pixels
    rows, row_weights = _axis_terms(height, shape[0])
    columns, column_weights = _axis_terms(width, shape[1])
    resized = np.empty((*shape, channels), np.float32)
    step = max(_ROWS_AT_ONCE_PX // shape[1], 1)
    for start in range(0, shape[0], step):
        part = slice(start, start + step)
        y, wy = rows[part], row_weights[part, None, None]
        x, wx = columns, column_weights[None, :, None]
        upper, lower = framed[y], framed[y + 1]
        total = upper[:, x] * (1 - wy) * (1 - wx)
        total += upper[:, x + 1] * (1 - wy) * wx
        total += lower[:, x] * wy * (1 - wx)
        total += lower[:, x + 1] * wy * wx
        resized[part] = total
    return resized
