"""Bilinear resize of images with blur before shrinking."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

import cellbatch._native.contrast as contrast
from cellbatch._native.gaussian import blur, gaussian_weights
from cellbatch.spec import Window

ReadWindow = Callable[[Window], ArrayLike]


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
    _check_shape(shape)
    if pixels.shape[:2] == tuple(shape):
        return pixels.copy()
    return resize_window(
        lambda window: pixels[window.slices],
        (pixels.shape[0], pixels.shape[1]),
        shape,
        Window(0, shape[0], 0, shape[1]),
        (pixels.min(), pixels.max()),
    )


def resize_window(
    read: ReadWindow,
    shape_in: tuple[int, int],
    shape_out: tuple[int, int],
    window: Window,
    clip_range: tuple[float, float],
) -> NDArray[np.float32]:
    """Any rectangle of what `resize_image` makes of an image, from no more of its pixels than that takes.

    Parameters
    ----------
    read : callable
        Takes a rectangle of the image and gives its pixels: real numbers of the shape (y, x, C) without NaN or
        infinities, taken as float32.
    shape_in, shape_out : (int, int)
        Height and width in px of the whole image, before and after.
    window : Window
        Rectangle of the resized image.
    clip_range : (float, float)
        Minimum and maximum of the whole image over all channels together, before it is resized.

    Returns
    -------
    ndarray of float32, shape (*window.shape, C)

    Raises
    ------
    TypeError
        If the pixels are not real numbers.
    ValueError
        If the window is empty or leaves the resized image, or the pixels cannot be used.
    """
    _check_shape(shape_out)
    if not (0 <= window.y0 < window.y1 <= shape_out[0] and 0 <= window.x0 < window.x1 <= shape_out[1]):
        raise ValueError(f"{window} is empty or leaves the resized image of {shape_out[0]}x{shape_out[1]} px")
    if tuple(shape_in) == tuple(shape_out):
        return checked_image(read(window)).copy()
    rows = _Axis.cut(shape_in[0], shape_out[0], window.y0, window.y1)
    columns = _Axis.cut(shape_in[1], shape_out[1], window.x0, window.x1)
    source = Window(rows.first, rows.last, columns.first, columns.last)
    pixels = checked_image(read(source))
    if pixels.shape[:2] != source.shape:
        raise ValueError(f"expected pixels of shape (*{source.shape}, C), found {pixels.shape}")
    if rows.sigma or columns.sigma:
        pixels = blur(pixels, (rows.sigma, columns.sigma))
    resized = contrast.resize(pixels, (rows.lower, rows.distance), (columns.lower, columns.distance))
    lowest, highest = (np.float32(value) for value in clip_range)
    is_zero = None if lowest <= 0 <= highest else resized == 0
    np.clip(resized, lowest, highest, out=resized)
    if is_zero is not None:
        resized[is_zero] = 0
    return resized


@dataclass(frozen=True)
class _Axis:
    """Samples of a part of an axis, and the source pixels ``first … last`` on which they rest.

    `lower` counts from a pixel of zeros before the first; `sigma` is that of the blur.
    """

    first: int
    last: int
    lower: NDArray[np.int64]
    distance: NDArray[np.float64]
    sigma: float

    @classmethod
    def cut(cls, n_in: int, n_out: int, start: int, stop: int) -> "_Axis":
        """Take the samples `start … stop` of an axis that is resized from `n_in` to `n_out` px."""
        position = (np.arange(start, stop) + 0.5) * (n_in / n_out) - 0.5
        lower = np.floor(position)
        distance = position - lower
        sigma = max((n_in / n_out - 1) / 2, 0)
        weights = gaussian_weights(sigma)
        reach = 0 if weights is None else len(weights) - 1
        first = max(int(lower[0]) - reach, 0)
        last = min(int(lower[-1]) + 2 + reach, n_in)
        return cls(first, last, lower.astype(np.int64) + 1 - first, distance, sigma)


def _check_shape(shape: tuple[int, int]) -> None:
    """Refuse a size that no image has."""
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"expected a height and width of at least 1 px, found {shape}")


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
    if not np.isfinite([pixels.min(), pixels.max()]).all():
        raise ValueError("the image holds NaN or infinite values")
    return pixels
