"""Shapes of regions as the table's columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.measurement import SHAPE_NAMES, Runs
from cellbatch.measurement.columns import SHAPE_COLUMNS

Floats = NDArray[np.float64]


def shape_values(
    shapes: Floats, labels: NDArray[np.uint32], boxes: NDArray[np.int64], origin: tuple[int, int], image_mpp: float
) -> Floats:
    """Values of ``SHAPE_COLUMNS``.

    Parameters
    ----------
    shapes : (k, 10) as the kernels measure them, in px from ``origin``
    labels : (k,)
    boxes : (k, 4) half-open ``y0, x0, y1, x1`` in px of the image
    origin : ``y, x`` of the pixel from which the shapes are counted
    image_mpp : µm per px

    Returns
    -------
    (k, 22) float64

    References
    ----------
    scikit-image 0.25.2, ``skimage.measure.regionprops``, for all but circularity; circularity is that of ImageJ and
    CellProfiler (4π area / perimeter²), on scikit-image's perimeter.
    """
    measured = dict(zip(SHAPE_NAMES, shapes.T, strict=True))
    area, perimeter = measured["area"], measured["perimeter"]
    measured["centroid_y"] = measured["centroid_y"] + origin[0]
    measured["centroid_x"] = measured["centroid_x"] + origin[1]
    sides = boxes[:, 2:] - boxes[:, :2]
    circularity = np.full(len(area), np.nan)
    np.divide(4 * np.pi * area, perimeter**2, out=circularity, where=perimeter > 0)
    values = measured | {
        "label": labels,
        "area_um2": area * image_mpp**2,
        "centroid_y_um": measured["centroid_y"] * image_mpp,
        "centroid_x_um": measured["centroid_x"] * image_mpp,
        **{f"bbox_{side}": boxes[:, place] for place, side in enumerate(("y0", "x0", "y1", "x1"))},
        "solidity": area / measured["area_convex"],
        "circularity": circularity,
        "extent": area / (sides[:, 0] * sides[:, 1]),
        "equivalent_diameter": np.sqrt(4 * area / np.pi),
    }
    return np.column_stack([np.asarray(values[column.name], np.float64) for column in SHAPE_COLUMNS])


def nucleus_values(nuclei: Runs, counts: NDArray[np.int64] | None, area: Floats, image_mpp: float) -> Floats:
    """Values of ``NUCLEUS_COLUMNS``: count, area in px and µm², area over that of the cell.

    Parameters
    ----------
    nuclei : pixels of each cell's nuclei
    counts : (k,) nuclei of each cell; None counts one where there is a pixel
    area : (k,) px of each cell
    """
    lengths = (nuclei.runs["x1"] - nuclei.runs["x0"]).astype(np.int64)
    nucleus_area = np.diff(np.concatenate([[0], np.cumsum(lengths)])[nuclei.offsets]).astype(np.float64)
    number = nucleus_area > 0 if counts is None else counts
    return np.column_stack([number, nucleus_area, nucleus_area * image_mpp**2, nucleus_area / area])
