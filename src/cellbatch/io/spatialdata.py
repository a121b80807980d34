"""Image, labels, outlines and cells as a SpatialData store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cellbatch.io.anndata import AnnDataLayout, write_elements
from cellbatch.io.atomic import atomic_path
from cellbatch.io.label_zarr import ZarrImage, write_image_levels
from cellbatch.io.zarr_shards import group_document, write_document
from cellbatch.spec import Window

if TYPE_CHECKING:
    import zarr

# versions of SpatialData's own formats, as its release 0.7 writes them
STORE_VERSION, RASTER_VERSION, SHAPES_VERSION, TABLE_VERSION = "0.2", "0.3", "0.3", "0.2"
RASTER_OME = "0.5-dev-spatialdata"
CHUNK_PX = 2048
IMAGE, INSTANCE = "image", "label"
# names of the outlines by the labels that they are of
OUTLINES = {"whole_cell": "cell_outlines", "nuclear": "nucleus_outlines"}
OUTLINE_FILE = "shapes.parquet"


@dataclass(frozen=True)
class StoreElements:
    """What a store holds besides its table.

    Attributes
    ----------
    image : the segmented channels; its shape and µm per px are those of the labels, too
    labels : names of the labels, the measured ones first
    read : labels (Y, X) of a name within a window
    outlines : file of ``OutlineWriter`` with the outlines of the measured labels, which is moved into the store
    """

    image: ZarrImage
    labels: Sequence[str]
    read: Callable[[str, Window], NDArray[np.uint32]]
    outlines: Path


def write_spatialdata(
    path: Path, elements: StoreElements, pieces: Iterable[pd.DataFrame], rows: int, layout: AnnDataLayout
) -> None:
    """Write a store with image, labels, outlines, and the cells as the table that annotates the first labels.

    Parameters
    ----------
    path : folder to write; it appears only when complete
    elements : with at least one name of labels; the coordinate system ``global`` is in µm
    pieces, rows, layout : of the table, as in ``write_anndata``

    References
    ----------
    SpatialData's storage format, https://spatialdata.scverse.org/en/stable/design_doc.html, and OME-NGFF 0.5.
    """
    import zarr  # slow to import, and few runs want these stores

    # a table without rows cannot annotate anything
    region = elements.labels[0] if rows else ""
    keys = {"region": region, "region_key": "region", "instance_key": INSTANCE} if rows else {}
    with atomic_path(path) as temporary:
        store = zarr.open_group(temporary, mode="w", zarr_format=3)
        store.attrs["spatialdata_attrs"] = {"version": STORE_VERSION, "spatialdata_software_version": "0.7.3"}
        store.create_group("images")
        _write_image(temporary / "images" / IMAGE, elements.image)
        rasters = store.create_group("labels")
        rasters.attrs["ome"] = {"labels": list(elements.labels)}
        for name in elements.labels:
            _write_raster(rasters.create_group(name), name, elements)
        shapes = store.create_group("shapes")
        if rows:
            # outlines without any are refused by the library
            outlines = shapes.create_group(OUTLINES[region])
            outlines.attrs.update(_outline_attributes(elements.image.image_mpp))
            shutil.move(elements.outlines, temporary / "shapes" / OUTLINES[region] / OUTLINE_FILE)
        table = store.create_group("tables").create_group("table")
        uns = {**layout.uns, "spatialdata_attrs": keys} if rows else layout.uns
        write_elements(table, pieces, rows, replace(layout, uns=uns, region=region))
        shown = {name: keys.get(name) for name in ("region", "region_key", "instance_key")}
        table.attrs.update({"spatialdata-encoding-type": "ngff:regions_table", "version": TABLE_VERSION, **shown})


def _write_image(folder: Path, image: ZarrImage) -> None:
    """Write the channels with their smaller levels."""
    factors, shown = write_image_levels(folder, image)
    multiscale = _multiscale(IMAGE, "cyx", image.image_mpp)
    multiscale["datasets"] = [
        {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [1.0, factor, factor]}]}
        for level, factor in enumerate(map(float, factors))
    ]
    attributes = {"version": RASTER_OME, "multiscales": [multiscale], "omero": shown}
    write_document(folder, group_document({"ome": attributes, "spatialdata_attrs": {"version": RASTER_VERSION}}))


def _write_raster(group: zarr.Group, name: str, elements: StoreElements) -> None:
    """Write one label image, block by block, with one level."""
    multiscale = _multiscale(name, "yx", elements.image.image_mpp)
    multiscale["datasets"] = [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}]
    attributes: dict[str, Any] = {"version": RASTER_OME, "multiscales": [multiscale]}
    attributes["image-label"] = {"version": "0.5"}
    group.attrs.update({"ome": attributes, "spatialdata_attrs": {"version": RASTER_VERSION}})
    height, width = elements.image.shape
    chunks = (min(CHUNK_PX, height), min(CHUNK_PX, width))
    array = group.create_array("s0", shape=(height, width), dtype=np.uint32, chunks=chunks, dimension_names=("y", "x"))
    for y0 in range(0, height, CHUNK_PX):
        for x0 in range(0, width, CHUNK_PX):
            window = Window(y0, min(height, y0 + CHUNK_PX), x0, min(width, x0 + CHUNK_PX))
            array[window.slices] = elements.read(name, window)


def _multiscale(name: str, axes: str, image_mpp: float) -> dict[str, Any]:
    """Describe a raster but for its levels."""
    kinds = [{"name": axis, "type": "channel" if axis == "c" else "space"} for axis in axes]
    return {"name": name, "axes": kinds, "coordinateTransformations": [_to_global(axes, image_mpp)]}


def _outline_attributes(image_mpp: float) -> dict[str, Any]:
    return {
        "encoding-type": "ngff:shapes",
        "axes": ["x", "y"],
        "coordinateTransformations": [_to_global("xy", image_mpp)],
        "spatialdata_attrs": {"version": SHAPES_VERSION},
    }


def _to_global(axes: str, image_mpp: float) -> dict[str, Any]:
    """From pixels to µm."""
    described = [
        {"name": axis, "type": "channel"} if axis == "c" else {"name": axis, "type": "space", "unit": "micrometer"}
        for axis in axes
    ]
    return {
        "type": "scale",
        "scale": [1.0 if axis == "c" else image_mpp for axis in axes],
        "input": {"name": axes, "axes": described},
        "output": {"name": "global", "axes": described},
    }
