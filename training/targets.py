"""What the network is to answer for given labels: inner distance and pixel classes.

References
----------
Inner distance: Koyuncu et al. (2020), DeepDistance: A multi-task deep regression model for cell detection in
inverted microscopy images, Medical Image Analysis 63, 101720, doi:10.1016/j.media.2020.101720; scaled by the cell's
area as described in Greenwald et al. (2022), Nature Biotechnology 40, 555-565, doi:10.1038/s41587-021-01094-0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BOUNDARY, INTERIOR, BACKGROUND = 0, 1, 2
TOUCHING_PX = 2


def inner_distance(labels: NDArray[np.uint32], beta: float = 1.0) -> NDArray[np.float32]:
    """Measure closeness to the object's centre: ``1 / (1 + alpha · beta · d)``.

    ``d`` is the distance in px to the object's own pixel nearest to its centroid and ``alpha = 1 / sqrt(area)``, so
    that large and small objects have the same profile: 1 at the centre, about 0.64 on a disc's rim.

    Parameters
    ----------
    labels : (Y, X) uint32
        Objects, background 0.
    beta : float
        Steepness.

    Returns
    -------
    (Y, X) float32
        Values in 0..1, background 0.
    """
    answer = np.zeros(labels.shape, np.float32)
    for index, window in enumerate(ndimage.find_objects(labels.astype(np.int64)), start=1):
        if window is None:
            continue
        mask = labels[window] == index
        y, x = np.nonzero(mask)
        nearest = np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2)
        distance = np.hypot(y - y[nearest], x - x[nearest])
        answer[window][mask] = 1 / (1 + beta * distance / np.sqrt(len(y)))
    return answer


def pixel_classes(labels: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Boundary, interior or background of each pixel.

    Parameters
    ----------
    labels : (Y, X) uint32
        Objects, background 0.

    Returns
    -------
    (Y, X) uint8
        0 for object pixels with one of the 8 neighbours outside the object, 1 for other object pixels, 2 for
        background. The image's border is no boundary.
    """
    differs = ndimage.maximum_filter(labels, 3, mode="nearest") != ndimage.minimum_filter(labels, 3, mode="nearest")
    classes = np.where(differs, BOUNDARY, INTERIOR).astype(np.uint8)
    classes[labels == 0] = BACKGROUND
    return classes


def touching_pixels(labels: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Mark where two objects meet: what separates neighbours is learned there.

    Parameters
    ----------
    labels : (Y, X) uint32
        Objects, background 0.

    Returns
    -------
    (Y, X) bool
        Pixels with two or more objects within ``TOUCHING_PX``, background between them included.
    """
    size = 2 * TOUCHING_PX + 1
    highest = ndimage.maximum_filter(labels, size, mode="nearest")
    nothing = np.iinfo(labels.dtype).max
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, nothing), size, mode="nearest")
    return np.asarray((highest > 0) & (lowest != highest))
