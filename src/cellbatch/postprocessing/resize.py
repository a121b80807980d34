"""Labels at another image size."""

import numpy as np
from numpy.typing import NDArray


def resize_labels(labels: NDArray[np.integer], shape: tuple[int, int]) -> NDArray[np.integer]:
    """Nearest-neighbour resize of a label image.

    Row or column ``i`` shows the source's ``floor(i * (1 / (n_out / n_in)))``, in double and in this order, at most
    the last one.

    Parameters
    ----------
    labels : ndarray of integers, shape (Y, X)
    shape : (int, int)
        Wanted height and width in px.

    Returns
    -------
    ndarray, shape `shape`
        Of the dtype of `labels`. Labels may vanish when the image shrinks; numbers stay as they are.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If the labels are not (Y, X) with at least one px, or `shape` is less than 1 px.

    References
    ----------
    Equal to OpenCV's INTER_NEAREST, with which DeepCell 0.12.10 brings labels back to image size.

    Examples
    --------
    >>> resize_labels(np.array([[1, 2]], np.uint32), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    if labels.dtype.kind not in "iu":
        raise TypeError(f"expected integer labels, found dtype {labels.dtype}")
    if labels.ndim != 2 or 0 in labels.shape:
        raise ValueError(f"expected labels of shape (Y, X), found shape {labels.shape}")
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"expected a height and width of at least 1 px, found {shape}")
    rows, columns = (_nearest(n_in, n_out) for n_in, n_out in zip(labels.shape, shape, strict=True))
    return labels.take(rows, axis=0).take(columns, axis=1)


def _nearest(n_in: int, n_out: int) -> NDArray[np.intp]:
    """Source index of each of `n_out` positions on an axis of `n_in` px."""
    position = np.arange(n_out) * (1 / (n_out / n_in))
    return np.minimum(np.floor(position).astype(np.intp), n_in - 1)
