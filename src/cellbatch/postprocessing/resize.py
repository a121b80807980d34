"""Labels at another image size."""

import numpy as np
from numpy.typing import NDArray

from cellbatch.postprocessing.blocks import Readable

# which pixel of the source a position shows: the one under its upper left corner, or under its centre
CORNER, CENTRE = "corner", "centre"


def choose_sampling(compartments: int) -> str:
    """Rule by which labels return to image size, as DeepCell 0.12.10 does it: it depends on how many it returns.

    Parameters
    ----------
    compartments : int
        Label images that are made at once.

    Returns
    -------
    str
        ``corner`` for one, which DeepCell gives to OpenCV, ``centre`` for several, which it gives to scikit-image.
    """
    return CORNER if compartments == 1 else CENTRE


class ResizedLabels:
    """Nearest-neighbour view of a label image at another size, computed for each rectangle that is asked for.

    Row or column ``i`` shows the source's ``floor(i * (1 / (n_out / n_in)))`` (``corner``) or
    ``floor((i + 0.5) * (n_in / n_out))`` (``centre``), in double and in this order, at most the last one.

    Parameters
    ----------
    labels : array-like with shape and slices, shape (Y, X), integers
    shape : (int, int)
        Wanted height and width in px.
    sampling : {"corner", "centre"}
        Which pixel of the source a position shows, see `choose_sampling`.

    Attributes
    ----------
    shape, dtype
        Of an array.
    loses_labels : bool
        Whether an axis shrinks, so that a label may be left without a pixel.

    Raises
    ------
    ValueError
        If the labels are not (Y, X) with at least one px, or `shape` is less than 1 px.

    References
    ----------
    ``corner`` equals OpenCV's INTER_NEAREST, ``centre`` scikit-image's ``resize`` of order 0; black-box runs of
    DeepCell 0.12.10 show the first for one compartment and the second for both.

    Examples
    --------
    >>> ResizedLabels(np.array([[1, 2]], np.uint32), (2, 4))[0:2, 1:3].tolist()
    [[1, 2], [1, 2]]
    """

    def __init__(self, labels: Readable, shape: tuple[int, int], sampling: str = CORNER) -> None:
        if len(labels.shape) != 2 or 0 in labels.shape:
            raise ValueError(f"expected labels of shape (Y, X), found shape {labels.shape}")
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"expected a height and width of at least 1 px, found {shape}")
        self.shape = (int(shape[0]), int(shape[1]))
        self.dtype = np.asarray(labels[0:1, 0:1]).dtype
        self.loses_labels = any(n_out < n_in for n_in, n_out in zip(labels.shape, shape, strict=True))
        self._labels = labels
        self._rows, self._columns = (
            _nearest(n_in, n_out, sampling) for n_in, n_out in zip(labels.shape, shape, strict=True)
        )

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.integer]:
        """Labels of a rectangle, of the source's dtype."""
        rows, columns = self._rows[key[0]], self._columns[key[1]]
        if not (len(rows) and len(columns)):
            return np.zeros((len(rows), len(columns)), self.dtype)
        y0, x0 = int(rows[0]), int(columns[0])
        source = np.asarray(self._labels[y0 : int(rows[-1]) + 1, x0 : int(columns[-1]) + 1])
        if source.shape == (len(rows), len(columns)):
            return source
        return source.take(rows - y0, axis=0).take(columns - x0, axis=1)


def resize_labels(labels: NDArray[np.integer], shape: tuple[int, int], sampling: str = CORNER) -> NDArray[np.integer]:
    """Nearest-neighbour resize of a whole label image; see ``ResizedLabels``.

    Parameters
    ----------
    labels : ndarray of integers, shape (Y, X)
    shape : (int, int)
        Wanted height and width in px.
    sampling : {"corner", "centre"}
        See `choose_sampling`.

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

    Examples
    --------
    >>> resize_labels(np.array([[1, 2]], np.uint32), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    if labels.dtype.kind not in "iu":
        raise TypeError(f"expected integer labels, found dtype {labels.dtype}")
    return ResizedLabels(labels, shape, sampling)[:, :]


def _nearest(n_in: int, n_out: int, sampling: str) -> NDArray[np.intp]:
    """Source index of each of `n_out` positions on an axis of `n_in` px."""
    if sampling == CENTRE:
        position = (np.arange(n_out) + 0.5) * (n_in / n_out)
    else:
        position = np.arange(n_out) * (1 / (n_out / n_in))
    return np.minimum(np.floor(position).astype(np.intp), n_in - 1)
