"""deep_watershed from SciPy and scikit-image: slow, and what the native kernels are held against."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tests.reference.flooding import flood
from tests.reference.maxima import label_maxima
from tests.reference.objects import drop_small_objects, fill_holes, renumber


def deep_watershed(
    inner_distance: NDArray[np.float32],
    interior: NDArray[np.float32],
    *,
    maxima_threshold: float,
    interior_threshold: float = 0.2,
    maxima_smooth: float = 0,
    interior_smooth: float = 2,
    radius: int = 2,
    small_objects_threshold: float = 15,
    fill_holes_threshold: float = 15,
) -> NDArray[np.uint32]:
    """Labels of float32 maps (Y, X), step by step; see ``cellbatch.postprocessing.deep_watershed``."""
    surface = ndimage.gaussian_filter(np.asarray(interior, np.float32), interior_smooth)
    maxima = ndimage.gaussian_filter(np.asarray(inner_distance, np.float32), maxima_smooth)
    mask = surface > np.float32(interior_threshold)
    markers = label_maxima(maxima, float(maxima_threshold), int(radius))
    if not markers.any():
        return np.zeros(maxima.shape, np.uint32)
    labels = flood(-surface, markers, mask)
    labels = drop_small_objects(labels, small_objects_threshold)
    return renumber(fill_holes(labels, fill_holes_threshold))
