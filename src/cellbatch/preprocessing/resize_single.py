"""Resize of images with one channel, which DeepCell does in another way than those with several."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellbatch.preprocessing.resize import ReadWindow, checked_image, resize_image, resize_window
from cellbatch.spec import Window

Shape = tuple[int, int]
ResizeWindow = Callable[[ReadWindow, Shape, Shape, Window, tuple[float, float]], NDArray[np.float32]]
# px worked on at once: sums are made in double, with their errors
PIECE_PX = 1 << 16


def choose_resize(channels: int) -> ResizeWindow:
    """Give the function that resizes an image of so many channels by rectangles, as DeepCell 0.12.10 would.

    Parameters
    ----------
    channels : int
        C of the image (Y, X, C).
    """
    return resize_window if channels > 1 else resize_single_window


def resize_input(image: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize an image (Y, X, C) to the model's pixel size, as DeepCell 0.12.10 does it for that many channels.

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
    TypeError, ValueError
        As `resize_image`.
    """
    pixels = checked_image(image)
    if pixels.shape[2] > 1:
        return resize_image(pixels, shape)
    height, width = pixels.shape[:2]
    whole = Window(0, shape[0], 0, shape[1])
    return resize_single_window(lambda window: pixels[window.slices], (height, width), shape, whole, (0.0, 0.0))


def resize_single_window(
    read: ReadWindow,
    shape_in: tuple[int, int],
    shape_out: tuple[int, int],
    window: Window,
    clip_range: tuple[float, float],
) -> NDArray[np.float32]:
    """Any rectangle of a resized image of one channel.

    Pixel ``i`` reads at ``(i + 0.5) * (n_in / n_out) - 0.5``, bilinear between neighbours, the outermost of which stand
    for what lies outside; nothing is blurred before. Each mixture is ``a + (b - a) * w`` in float32, product and sum
    rounded together (fused), first along rows, then along columns.

    Parameters
    ----------
    read, shape_in, shape_out, window, clip_range
        As for `resize_window`.

    Returns
    -------
    ndarray of float32, shape (*window.shape, 1)

    References
    ----------
    Black-box runs of DeepCell 0.12.10, which gives one channel to OpenCV (INTER_LINEAR), with OpenCV 4.11 on a
    processor with AVX-512: equal but for the last bit of the last columns, where OpenCV rounds twice.
    """
    if tuple(shape_in) == tuple(shape_out):
        return checked_image(read(window)).copy()
    upper, lower, down = _neighbours(shape_in[0], shape_out[0], window.y0, window.y1)
    left, right, across = _neighbours(shape_in[1], shape_out[1], window.x0, window.x1)
    source = Window(int(upper[0]), int(lower[-1]) + 1, int(left[0]), int(right[-1]) + 1)
    pixels = checked_image(read(source))[..., 0]
    mixed = _mix(pixels[:, left - source.x0], pixels[:, right - source.x0], across[None, :])
    return _mix(mixed[upper - source.y0], mixed[lower - source.y0], down[:, None])[..., None]


def _neighbours(
    n_in: int, n_out: int, start: int, stop: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Both neighbours of the positions `start … stop` of an axis, and the weight of the second."""
    position = (np.arange(start, stop) + 0.5) * (n_in / n_out) - 0.5
    first = np.floor(position).astype(np.intp)
    weight = np.where((first < 0) | (first >= n_in - 1), 0.0, position - first)
    first = np.clip(first, 0, n_in - 1)
    return first, np.minimum(first + 1, n_in - 1), weight.astype(np.float32)


def _mix(a: NDArray[np.float32], b: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give ``a + (b - a) * weight`` of arrays (y, x) with one rounding for product and sum."""
    mixed = np.empty_like(a)
    weights = np.broadcast_to(weight, a.shape)
    step = max(PIECE_PX // a.shape[1], 1)
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        mixed[rows] = _fused(b[rows] - a[rows], weights[rows], a[rows])
    return mixed


def _fused(x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
    """``x * y + z`` in float32, rounded once.

    References
    ----------
    Rounding to odd before the last rounding: Boldo and Melquiond (2008), Emulation of a FMA and correctly rounded
    sums, IEEE Transactions on Computers 57, 462-471, doi:10.1109/TC.2007.70819. The error of a sum: Knuth, The Art of
    Computer Programming, volume 2, 4.2.2.
    """
    product = x.astype(np.float64) * y  # exact
    total = product + z
    other = total - product
    error = (product - (total - other)) + (z - other)
    is_even = (total.view(np.int64) & 1) == 0
    odd = np.where((error != 0) & is_even, np.nextafter(total, np.copysign(np.inf, error)), total)
    return odd.astype(np.float32)
