"""Markers: the peaks of the inner distance that rise far enough above their surroundings."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import reconstruction

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)
_ROUNDING_ALLOWANCE = np.float32(2e-6)


def disk(radius: int) -> NDArray[np.bool_]:
    """Pixels no farther than `radius` px from the centre, shape (2 * radius + 1, 2 * radius + 1)."""
    offset = np.arange(-radius, radius + 1)
    return offset[:, None] ** 2 + offset[None, :] ** 2 <= radius * radius


def label_maxima(maxima: NDArray[np.float32], threshold: float, radius: int) -> NDArray[np.int32]:
    """Label the regional maxima that rise by `threshold` or more.

    A pixel is a maximum if it exceeds, by at least the threshold, the grey reconstruction by dilation of the map
    lowered by the threshold (and by 2e-6 of its value, an allowance for rounding). All in float32, except that a map
    whose whole range is below the threshold, compared in double, has no maximum.

    Parameters
    ----------
    maxima : ndarray of float32, shape (Y, X)
        Finite values.
    threshold : float
        Height in units of the map.
    radius : int
        Radius in px of the disk of neighbours over which the reconstruction spreads.

    Returns
    -------
    ndarray of int32, shape (Y, X)
        0 or the number of the maximum, 8-connected, numbered by first pixel in raster order.

    References
    ----------
    P. Soille, Morphological Image Analysis, 2nd ed., 2003, section 6.3 (h-maxima); L. Vincent, Morphological grayscale
    reconstruction, IEEE Trans. Image Processing 2, 1993; the rounding of ``skimage.morphology.h_maxima``.
    """
    if float(maxima.max() - maxima.min()) < threshold:
        return np.zeros(maxima.shape, np.int32)
    height = np.float32(threshold)
    seed = maxima - height - _ROUNDING_ALLOWANCE * np.abs(maxima)
    rebuilt = np.asarray(reconstruction(seed, maxima, method="dilation", footprint=disk(radius)), np.float32)
    markers = np.empty(maxima.shape, np.int32)
    ndimage.label(maxima - rebuilt >= height, structure=_EIGHT_NEIGHBOURS, output=markers)
    return markers
