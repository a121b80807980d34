"""Labels and cells as a SpatialData store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from cellbatch.io.anndata import AnnDataLayout, write_elements
from cellbatch.io.atomic import atomic_path
from cellbatch.spec import Window

# versions of SpatialData's own formats, as its release 0.7 writes them
STORE_VERSION, RASTER_VERSION, TABLE_VERSION = "0.2", "0.3", "0.2"
CHUNK_PX = 2048
AXES = ("y", "x")
INSTANCE = "label"


@dataclass(frozen=True)
class StoreLabels:
    """Labels of one sample: their names, shape (Y, X), µm per px, and how a window of one is read."""

    names: Sequence[str]
    shape: tuple[int, int]
    image_mpp: float
    read: Callable[[str, Window], NDArray[np.uint32]]


def write_spatialdata(
    path: Path, labels: StoreLabels, pieces: Iterable[pd.DataFrame], rows: int, layout: AnnDataLayout
) -> None:
    """Write a store with the labels as rasters and the cells as the table that annotates the first of them.

    Parameters
    ----------
    path : folder to write; it appears only when complete
    labels : at least one; the coordinate system ``global`` is in µm
    pieces, rows, layout : of the table, as in ``write_anndata``

    References
    ----------
    SpatialData's storage format, https://spatialdata.scverse.org/en/stable/design_doc.html, and OME-NGFF 0.5.
    """
    # a table without rows cannot annotate anything
    region = labels.names[0] if rows else ""
    keys = {"region": region, "region_key": "region", "instance_key": INSTANCE} if rows else {}
    with atomic_path(path) as temporary:
        store = zarr.open_group(temporary, mode="w", zarr_format=3)
        store.attrs["spatialdata_attrs"] = {"version": STORE_VERSION, "spatialdata_software_version": "0.7.3"}
        rasters = store.create_group("labels")
        rasters.attrs["ome"] = {"labels": list(labels.names)}
        for name in labels.names:
            _write_raster(rasters.create_group(name), name, labels)
        table = store.create_group("tables").create_group("table")
        uns = {**layout.uns, "spatialdata_attrs": keys} if rows else layout.uns
        write_elements(table, pieces, rows, replace(layout, uns=uns, region=region))
        shown = {name: keys.get(name) for name in ("region", "region_key", "instance_key")}
        table.attrs.update({"spatialdata-encoding-type": "ngff:regions_table", "version": TABLE_VERSION, **shown})


def _write_raster(group: zarr.Group, name: str, labels: StoreLabels) -> None:
    """Write one label image, block by block, with one level."""
    group.attrs.update(_raster_attributes(name, labels.image_mpp))
    height, width = labels.shape
    chunks = (min(CHUNK_PX, height), min(CHUNK_PX, width))
    array = group.create_array("s0", shape=labels.shape, dtype=np.uint32, chunks=chunks, dimension_names=AXES)
    for y0 in range(0, height, CHUNK_PX):
        for x0 in range(0, width, CHUNK_PX):
            window = Window(y0, min(height, y0 + CHUNK_PX), x0, min(width, x0 + CHUNK_PX))
            array[window.slices] = labels.read(name, window)


def _raster_attributes(name: str, image_mpp: float) -> Mapping[str, Any]:
    space = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in AXES]
    to_global = {
        "type": "scale",
        "scale": [image_mpp, image_mpp],
        "input": {"name": "yx", "axes": space},
        "output": {"name": "global", "axes": space},
    }
    level = {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}
    multiscale = {
        "datasets": [level],
        "name": name,
        "axes": [{"name": axis, "type": "space"} for axis in AXES],
        "coordinateTransformations": [to_global],
    }
    return {
        "ome": {"version": "0.5-dev-spatialdata", "multiscales": [multiscale], "image-label": {"version": "0.5"}},
        "spatialdata_attrs": {"version": RASTER_VERSION},
    }
