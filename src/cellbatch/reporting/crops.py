"""Which places of an image are worth a look at full resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellbatch.spec import Window

CROP_UM = 128
CROP_RANGE_PX = (256, 1024)


def crop_side(image_mpp: float) -> int:
    """Side of a crop in px: ``CROP_UM``, within ``CROP_RANGE_PX``."""
    return int(np.clip(round(CROP_UM / image_mpp), *CROP_RANGE_PX))


def choose_windows(
    shape: tuple[int, int], side: int, places: NDArray[np.float64], doubtful: NDArray[np.bool_]
) -> tuple[Window, ...]:
    """Choose up to three windows: the densest, the sparsest that has a cell, and the one with most doubtful cells.

    An image less than four times as large as a crop gets none: its overlay shows all of it.

    Parameters
    ----------
    shape : (Y, X) of the image
    side : of a window in px
    places : (n, 2) where cells lie, (y, x) in px; NaN is nowhere
    doubtful : (n,) which cells look wrong

    Returns
    -------
    tuple of Window
        In the order dense, sparse, worst, none twice; fewer where an image has fewer places.
    """
    if shape[0] * shape[1] < 4 * side * side:
        return ()
    counts, wrong = (count_by_cell(shape, side, chosen) for chosen in (places, places[doubtful]))
    filled = counts > 0
    ranks = (
        np.where(filled, counts, -1),
        np.where(filled, -counts, -counts.max(initial=0) - 1),
        np.where(filled, wrong / np.maximum(counts, 1) ** 0.5, -1),
    )
    chosen: list[int] = []
    # the worst is chosen before the sparsest, so that it cannot be lost to it
    for rank in (ranks[0], ranks[2], ranks[1]):
        order = np.argsort(-rank.ravel(), kind="stable")
        chosen += [int(place) for place in order if place not in chosen][:1]
    order = [chosen[0], chosen[2], chosen[1]] if len(chosen) == 3 else chosen
    return tuple(grid_window(shape, side, place) for place in order)


def count_by_cell(shape: tuple[int, int], side: int, places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count places in each cell of a grid of windows, (rows, columns)."""
    rows, columns = -(-shape[0] // side), -(-shape[1] // side)
    known = places[np.isfinite(places).all(axis=1)]
    index = (known // side).astype(np.intp)
    return np.bincount(index[:, 0] * columns + index[:, 1], minlength=rows * columns).reshape(rows, columns)


def grid_window(shape: tuple[int, int], side: int, place: int) -> Window:
    """Window of a place in the grid, moved inside the image where it would leave it."""
    row, column = divmod(place, -(-shape[1] // side))
    y0, x0 = max(0, min(row * side, shape[0] - side)), max(0, min(column * side, shape[1] - side))
    return Window(y0, min(y0 + side, shape[0]), x0, min(x0 + side, shape[1]))
