"""The cells table: one row per label."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cellbatch.measurement.intensities import sum_intensity
from cellbatch.measurement.regions import check_labels, compact, find_regions


def measure_cells(
    labels: NDArray[np.integer],
    read_channel: Callable[[int], NDArray[np.number]],
    channel_names: Sequence[str],
    image_mpp: float,
) -> pd.DataFrame:
    """Measure size, place and mean intensities of every label.

    Channels are asked for one at a time, each once, so that only one is in memory.

    Parameters
    ----------
    labels : (Y, X) integer, 0 background; gaps in the numbering are allowed
    read_channel : position of a channel → its (Y, X) pixels, any real type
    channel_names : one per channel; an empty name becomes ``channel_<position>``, a repeated one gets a suffix
    image_mpp : µm per px of ``labels``

    Returns
    -------
    DataFrame
        In rising order of label: ``label`` (uint32), ``area`` (px, int64), ``area_um2``, ``centroid_y``,
        ``centroid_x`` (px, float64, the middle of the first pixel is 0), ``bbox_y0``, ``bbox_x0``, ``bbox_y1``,
        ``bbox_x1`` (px, int64, half-open), then ``mean_<channel name>`` (float64) per channel. An image without
        labels gives an empty table with the same columns and types.

    Raises
    ------
    TypeError
        ``labels`` does not hold integers.
    ValueError
        ``labels`` is not (Y, X), a label does not fit uint32, a channel differs from it in shape, or ``image_mpp``
        is not a positive number.

    References
    ----------
    Definitions follow scikit-image's ``regionprops_table``:
    https://scikit-image.org/docs/stable/api/skimage.measure.html#skimage.measure.regionprops_table
    """
    check_labels(labels)
    if not (np.isfinite(image_mpp) and image_mpp > 0):
        raise ValueError(f"image_mpp must be a positive number of µm per px, not {image_mpp}")
    indices, ids = compact(labels)
    regions = find_regions(indices, ids)
    columns: dict[str, NDArray[np.generic]] = {
        "label": regions.label,
        "area": regions.area,
        "area_um2": regions.area * float(image_mpp) ** 2,
        "centroid_y": regions.centroid[:, 0],
        "centroid_x": regions.centroid[:, 1],
        **{f"bbox_{side}": regions.bbox[:, place] for place, side in enumerate(("y0", "x0", "y1", "x1"))},
    }
    present = np.searchsorted(ids, regions.label)
    for position, name in enumerate(unique_names(channel_names)):
        total = sum_intensity(indices, read_channel(position), len(ids))
        columns[f"mean_{name}"] = total[present] / regions.area
    return pd.DataFrame(columns)


def unique_names(channel_names: Sequence[str]) -> list[str]:
    """Channel names fit for columns: none empty, none twice.

    Examples
    --------
    >>> unique_names(["DNA", "", "DNA", "DNA_2"])
    ['DNA', 'channel_1', 'DNA_3', 'DNA_2']
    """
    wanted = [name.strip() or f"channel_{position}" for position, name in enumerate(channel_names)]
    taken, names = set(wanted), []
    for name in wanted:
        suffix, unique = 2, name
        while unique in names or (unique != name and unique in taken):
            unique, suffix = f"{name}_{suffix}", suffix + 1
        names.append(unique)
    return names
