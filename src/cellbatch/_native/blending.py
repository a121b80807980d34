"""Model tiles into the blending kernel. What goes in has been checked by the caller."""

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.library import check, load_library

Weights = NDArray[np.float64]


def add_tile(tile: NDArray[np.float32], rows: Weights, columns: Weights, band: Weights) -> None:
    """Add a tile (y, x, K), multiplied by ``rows[y] * columns[x]``, to the sums of a part of a band."""
    source = np.ascontiguousarray(tile, np.float32)
    status = load_library().add_weighted_tile(
        source.ctypes.data,
        *source.shape,
        rows.ctypes.data,
        columns.ctypes.data,
        band.ctypes.data,
        band.strides[0] // band.itemsize,
    )
    check(status, "add_weighted_tile", source.shape)
