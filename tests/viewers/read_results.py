"""Other people's readers open what a run wrote: `setup/test_viewers.sh`, in an environment without cellbatch.

CELLBATCH_RESULTS names a results folder of one sample with all formats and a table in AnnData.
"""

import os
from pathlib import Path

import anndata
import geopandas
import napari_ome_zarr
import numpy as np
import ome_zarr.io
import ome_zarr.reader
import pandas
import pytest
import scanpy
import shapely
import spatialdata
import squidpy
import tifffile

SAMPLE = "tissue_01"
COMPARTMENTS = ("whole_cell", "nuclear", "nuclear_matched")


@pytest.fixture(scope="module")
def results() -> Path:
    return Path(os.environ["CELLBATCH_RESULTS"])


@pytest.fixture(scope="module")
def labels(results: Path) -> dict[str, np.ndarray]:
    return {name: tifffile.imread(results / f"labels/{SAMPLE}.{name}.ome.tif") for name in COMPARTMENTS}


def test_scanpy_goes_from_the_table_to_an_embedding(results, labels):
    data = scanpy.read_h5ad(results / f"cells/{SAMPLE}.cells.h5ad")
    assert data.n_obs == labels["whole_cell"].max() > 50
    assert list(data.obs["label"].astype(int)) == list(range(1, data.n_obs + 1))
    np.testing.assert_array_equal(data.obs["area"], np.bincount(labels["whole_cell"].ravel())[1:])
    scanpy.pp.log1p(data)
    scanpy.pp.scale(data)
    scanpy.pp.pca(data, n_comps=1)
    scanpy.pp.neighbors(data, n_neighbors=8)
    scanpy.tl.umap(data, random_state=0)
    assert np.isfinite(data.obsm["X_umap"]).all()
    assert data.obsm["X_umap"].shape == (data.n_obs, 2)


def test_squidpy_finds_neighbours_in_space(results):
    data = anndata.read_h5ad(results / f"cells/{SAMPLE}.cells.h5ad")
    squidpy.gr.spatial_neighbors(data, coord_type="generic", n_neighs=4)
    assert data.obsp["spatial_connectivities"].shape == (data.n_obs, data.n_obs)
    assert (data.obsp["spatial_connectivities"].sum(axis=1) >= 4).all()


def test_spatialdata_joins_labels_and_table(results, labels):
    store = spatialdata.read_zarr(results / f"spatialdata/{SAMPLE}.zarr")
    assert set(store.labels) == set(COMPARTMENTS)
    assert store.images["image"].shape == (2, *labels["whole_cell"].shape)
    assert list(store.images["image"].coords["c"].values) == ["nuclear", "membrane"]
    outlines = store.shapes["cell_outlines"].sort_index()
    assert list(outlines.index) == list(range(1, labels["whole_cell"].max() + 1))
    np.testing.assert_array_equal(outlines.area, np.bincount(labels["whole_cell"].ravel())[1:])
    for name in COMPARTMENTS:
        np.testing.assert_array_equal(np.asarray(store.labels[name]), labels[name])
    _, table = spatialdata.join_spatialelement_table(
        sdata=store, spatial_element_names="whole_cell", table_name="table", how="left"
    )
    assert table.n_obs == labels["whole_cell"].max()
    # as docs/output.md says, for those who colour outlines by the table
    store["table"].obs["region"] = pandas.Categorical(["cell_outlines"] * table.n_obs)
    store.set_table_annotates_spatialelement("table", region="cell_outlines")
    _, table = spatialdata.join_spatialelement_table(
        sdata=store, spatial_element_names="cell_outlines", table_name="table", how="inner"
    )
    assert table.n_obs == labels["whole_cell"].max()
    for element in (store.labels["whole_cell"], store.images["image"]):
        extent = spatialdata.get_extent(element, coordinate_system="global")
        assert extent["x"] == (0.0, 0.5 * labels["whole_cell"].shape[1])
    inside = spatialdata.get_extent(store.shapes["cell_outlines"], coordinate_system="global")
    columns = np.flatnonzero(labels["whole_cell"].any(axis=0))
    assert inside["x"] == (0.5 * columns[0], 0.5 * (columns[-1] + 1))


def test_naparis_plugin_gives_all_layers(results, labels):
    path = str(results / f"zarr/{SAMPLE}.ome.zarr")
    read = napari_ome_zarr.napari_get_reader(path)
    assert read is not None
    layers = read(path)
    kinds = [kind for _, _, kind in layers]
    assert kinds == ["image"] + ["labels"] * len(COMPARTMENTS)
    data, settings, _ = layers[0]
    assert np.asarray(data[0] if isinstance(data, list) else data).shape == (2, *labels["whole_cell"].shape)
    assert list(np.ravel(settings["scale"]))[-2:] == [0.5, 0.5]
    # the plugin of release 0.10 calls a layer labels/labels/<name>
    found = {
        Path(settings["name"]).name: np.asarray(data[0] if isinstance(data, list) else data)
        for data, settings, _ in layers[1:]
    }
    for name in COMPARTMENTS:
        np.testing.assert_array_equal(found[name], labels[name])


def test_the_reader_of_ome_zarr_finds_the_same(results, labels):
    nodes = list(ome_zarr.reader.Reader(ome_zarr.io.parse_url(results / f"zarr/{SAMPLE}.ome.zarr"))())
    found = {node.metadata["name"]: np.asarray(node.data[0]) for node in nodes if node.data}
    assert set(COMPARTMENTS) <= set(found)
    for name in COMPARTMENTS:
        np.testing.assert_array_equal(found[name], labels[name])


def test_the_cells_that_qupath_would_import(results, labels):
    cells = geopandas.read_file(results / f"shapes/{SAMPLE}.geojson")
    image = labels["whole_cell"]
    assert len(cells) == image.max()
    assert cells.geometry.is_valid.all()
    assert set(cells["objectType"]) == {"cell"}
    assert cells["id"].is_unique
    np.testing.assert_array_equal(cells.geometry.area, np.bincount(image.ravel())[1:])
    y, x = np.indices(image.shape) + 0.5
    drawn = np.zeros(image.shape, np.uint32)
    for label, outline in enumerate(cells.geometry, 1):
        drawn[shapely.contains_xy(outline, x, y)] = label
    np.testing.assert_array_equal(drawn, image)
