"""The tables of one sample, from hand-off and image to files."""

import gzip
import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from numpy.testing import assert_array_equal
from pyarrow import parquet
from shapely import from_wkb
from shapely.geometry import shape

from cellbatch import __version__
from cellbatch.errors import ConfigError, InputError
from cellbatch.io.handoffs import HandoffReader, HandoffWriter
from cellbatch.io.shapes import cell_id
from cellbatch.io.tables import read_table
from cellbatch.measurement.cells import measure_cells
from cellbatch.measurement.columns import NUCLEUS_COLUMNS, SHAPE_COLUMNS
from cellbatch.measurement.dialects import DIALECTS, translate
from cellbatch.phases.cell_tables import CellFolders, TableOptions, write_cells
from cellbatch.phases.sources import SampleImage
from cellbatch.spec import ImageSource, SampleSpec

CHANNELS = np.random.default_rng(3).integers(0, 4000, (3, 40, 60)).astype(np.uint16)


def make_labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells, nuclei, and nuclei with their cells' numbers: two in cell 1, none in cell 3, one orphan."""
    cells, nuclei, matched = (np.zeros((40, 60), np.uint32) for _ in range(3))
    cells[2:20, 3:25], cells[2:20, 30:50], cells[25:38, 5:18] = 1, 2, 3
    for number, (cell, place) in enumerate(
        [(1, np.s_[4:9, 5:9]), (1, np.s_[11:15, 12:20]), (2, np.s_[5:12, 28:40]), (0, np.s_[30:33, 40:44])], 1
    ):
        nuclei[place], matched[place] = number, cell
    return cells, nuclei, matched


def spec(**changes) -> SampleSpec:
    fields = {
        "sample": "s1",
        "sources": (ImageSource("image", 1),),
        "shape": (40, 60),
        "image_mpp": 0.5,
        "nuclear": "0",
        "membrane": "1",
        "channel_names": ("DAPI", "CD8", ""),
        "dtype": "uint16",
        "columns": {"patient": "007", "area": "tonsil"},
    }
    return SampleSpec(**(fields | changes))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "1"
    folder.mkdir(parents=True)
    np.save(folder / "s1.npy", CHANNELS)
    cells, nuclei, matched = make_labels()
    with HandoffWriter(tmp_path / "labels.zip") as handoff:
        for name, values in {"whole_cell": cells, "nuclear": nuclei, "nuclear_matched": matched}.items():
            handoff.write("s1", name, values)
        matching = np.array([[1, 1, 20], [2, 1, 32], [3, 2, 70], [4, 0, 0]], np.uint32)
        handoff.write("s1", "nuclear_matching", matching)
        handoff.write("nuclei_only", "nuclear", nuclei)
    return tmp_path


def write(inputs: Path, sample: SampleSpec, **options) -> pd.DataFrame:
    chosen = TableOptions(**options)
    with SampleImage(sample, inputs / "images") as image, HandoffReader(inputs / "labels.zip") as labels:
        folders = CellFolders(*(inputs / name for name in ("cells", "shapes", "spatialdata")))
        folders.make(chosen.formats)
        write_cells(sample, labels, image, folders, chosen)
    if chosen.table_format == "anndata":
        return pd.DataFrame()
    return read_table(inputs / "cells" / f"{sample.sample}.cells.{chosen.table_format}")


def test_the_table_holds_all_measurements_and_the_samplesheets_columns(inputs):
    table = write(inputs, spec())
    cells, _, matched = make_labels()
    expected = measure_cells(cells, CHANNELS.__getitem__, ["DAPI", "CD8", ""], 0.5, nuclei=matched)
    assert list(table) == ["sample", *expected, "patient", "samplesheet_area"]
    expected["nucleus_count"] = np.array([2, 1, 0])
    pd.testing.assert_frame_equal(table[list(expected)], expected)
    assert set(table["sample"]) == {"s1"}
    assert set(table["patient"]) == {"007"}
    assert set(table["samplesheet_area"]) == {"tonsil"}


def test_some_channels_only(inputs):
    table = write(inputs, spec(measured_channels=(2, 0)))
    means = [name for name in table if name.startswith("mean_")]
    assert means == ["mean_channel_2", "mean_DAPI"]
    cells, *_ = make_labels()
    assert_array_equal(table["mean_channel_2"], [CHANNELS[2][cells == n].mean() for n in (1, 2, 3)])


def test_nuclei_are_rows_where_no_cells_were_segmented(inputs):
    table = write(inputs, spec(sample="nuclei_only"), table_format="csv")
    assert len(table) == 4
    assert "nucleus_area" not in table
    assert table["area"].tolist() == [20, 32, 84, 12]


def test_an_image_without_cells_has_an_empty_table_with_all_columns(inputs):
    full = write(inputs, spec())
    with HandoffWriter(inputs / "labels.zip") as handoff:
        for name in ("whole_cell", "nuclear", "nuclear_matched"):
            handoff.write("s1", name, np.zeros((40, 60), np.uint32))
        handoff.write("s1", "nuclear_matching", np.zeros((0, 3), np.uint32))
    table = write(inputs, spec())
    assert len(table) == 0
    pd.testing.assert_series_equal(table.dtypes, full.dtypes)


@pytest.mark.parametrize("columns", DIALECTS)
def test_other_tools_columns(inputs, columns):
    own = write(inputs, spec())
    table = write(inputs, spec(), columns=columns)
    expected = {
        "qupath": {
            "Cell: DAPI: Mean": own["mean_DAPI"],
            "Nucleus: CD8: Std.Dev.": own["nuclear_std_CD8"],
            "Cytoplasm: channel_2: Median": own["cytoplasm_median_channel_2"],
            "Centroid X µm": (own["centroid_x"] + 0.5) / 2,
            "Cell: Length µm": own["perimeter"] / 2,
            "Nucleus/Cell area ratio": own["n_c_ratio"],
            "Image": own["sample"],
        },
        "mcquant": {"CellID": own["label"], "CD8": own["mean_CD8"], "Y_centroid": own["centroid_y"]},
        "ark": {
            "cell_size": own["area"],
            "CD8": own["total_CD8"] / own["area"],
            "centroid-0": own["centroid_y"],
            "perim_square_over_area": own["perimeter"] ** 2 / own["area"],
            "convex_hull_resid": 1 - own["solidity"],
            "fov": own["sample"],
        },
    }[columns]
    for name, values in expected.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(table[name], values, rtol=1e-12, atol=1e-12, err_msg=name)
        else:
            assert table[name].tolist() == values.tolist()


def test_every_source_of_a_dialect_is_a_column_of_ours(inputs):
    own = write(inputs, spec())
    for dialect, columns in DIALECTS.items():
        assert len(translate(own, dialect, ["DAPI"], 0.5).columns) == len(columns)


def test_anndata_is_read_by_its_library(inputs):
    table = write(inputs, spec())
    write(inputs, spec(), table_format="anndata")
    data = anndata.read_h5ad(inputs / "cells/s1.cells.h5ad")
    assert data.var_names.tolist() == ["DAPI", "CD8", "channel_2"]
    assert data.obs_names.tolist() == ["s1_1", "s1_2", "s1_3"]
    means = table[["mean_DAPI", "mean_CD8", "mean_channel_2"]].to_numpy(np.float32)
    assert_array_equal(data.X, means)
    assert_array_equal(data.obsm["spatial"], table[["centroid_x_um", "centroid_y_um"]])
    intensities = [name for name in table if name.split("_")[-1] in ("DAPI", "CD8", "2")]
    assert len(intensities) == 3 * 6 * 3
    assert list(data.obsm["intensities"]) == intensities
    assert_array_equal(data.obsm["intensities"], table[intensities].to_numpy(np.float32))
    observed = [name for name in table if name not in intensities]
    assert list(data.obs) == observed
    for name in observed:
        assert data.obs[name].tolist() == table[name].tolist(), name
    assert data.uns["cellbatch"]["version"] == __version__


def check_store(inputs: Path, rows: int) -> None:
    """Read the store's parts with the libraries of the formats that it is made of."""
    store = zarr.open_group(inputs / "spatialdata/s1.zarr", mode="r")
    cells, _, matched = make_labels()
    for name, labels in {"whole_cell": cells, "nuclear_matched": matched}.items():
        group = store["labels"][name]
        assert_array_equal(group["s0"][:], labels if rows else 0 * labels)
        scale = group.attrs["ome"]["multiscales"][0]["coordinateTransformations"][0]
        assert (scale["scale"], scale["output"]["name"]) == ([0.5, 0.5], "global")
    assert set(store["labels"].attrs["ome"]["labels"]) == set(store["labels"].group_keys())
    image = store["images/image"]
    assert_array_equal(image["0"][:], CHANNELS[:2])
    assert [channel["label"] for channel in image.attrs["ome"]["omero"]["channels"]] == ["DAPI", "CD8"]
    assert image.attrs["ome"]["multiscales"][0]["coordinateTransformations"][0]["scale"] == [1.0, 0.5, 0.5]
    check_outlines(inputs / "spatialdata/s1.zarr/shapes", cells, rows)
    table = anndata.read_zarr(inputs / "spatialdata/s1.zarr/tables/table")
    assert table.shape == (rows, 3)
    if rows:
        assert table.uns["spatialdata_attrs"] == {
            "region": "whole_cell",
            "region_key": "region",
            "instance_key": "label",
        }
        assert table.obs["region"].tolist() == ["whole_cell"] * rows
        assert table.obs["label"].tolist() == [1, 2, 3]
        assert_array_equal(table.obsm["spatial"][:, 0], table.obs["centroid_x_um"])


def check_outlines(folder: Path, cells: np.ndarray, rows: int) -> None:
    """Read the outlines as what GeoPandas expects; the numbers of the labels are their index."""
    if not rows:
        assert [path.name for path in folder.iterdir()] == ["zarr.json"]
        return
    table = parquet.read_table(folder / "cell_outlines/shapes.parquet")
    about = json.loads(table.schema.metadata[b"geo"])
    assert about["columns"][about["primary_column"]]["encoding"] == "WKB"
    outlines = {int(label): from_wkb(value) for label, value in table.to_pandas()["geometry"].items()}
    assert {label: outline.area for label, outline in outlines.items()} == {
        label: (cells == label).sum() for label in range(1, rows + 1)
    }
    assert all(outline.is_valid for outline in outlines.values())


def test_a_spatialdata_store(inputs):
    write(inputs, spec(), formats=("spatialdata",))
    check_store(inputs, 3)
    assert [path.name for path in (inputs / "spatialdata").iterdir()] == ["s1.zarr"]


def test_an_anndata_of_no_cells(inputs):
    with HandoffWriter(inputs / "labels.zip") as handoff:
        handoff.write("s1", "whole_cell", np.zeros((40, 60), np.uint32))
        handoff.write("s1", "nuclear_matched", np.zeros((40, 60), np.uint32))
    write(inputs, spec(), table_format="anndata", formats=("spatialdata",))
    check_store(inputs, 0)
    data = anndata.read_h5ad(inputs / "cells/s1.cells.h5ad")
    assert data.shape == (0, 3)
    assert "area" in data.obs


def test_an_anndata_has_its_own_columns():
    with pytest.raises(ConfigError, match="--columns ark: an AnnData has columns of its own"):
        TableOptions(table_format="anndata", columns="ark")


def test_shapes_are_the_labels(inputs):
    table = write(inputs, spec(), formats=("geojson",))
    features = json.loads((inputs / "shapes/s1.geojson").read_text(encoding="utf-8"))["features"]
    cells, _, matched = make_labels()
    assert [feature["id"] for feature in features] == [str(cell_id("s1", label)) for label in table["label"]]
    for label, feature in enumerate(features, 1):
        for key, labels in {"geometry": cells, "nucleusGeometry": matched}.items():
            area = shape(feature[key]).area if key in feature else 0
            assert area == (labels == label).sum()
        measurements = feature["properties"]["measurements"]
        np.testing.assert_allclose(measurements["Cell: CD8: Mean"], table["mean_CD8"][label - 1], rtol=1e-5)
        assert measurements["Nucleus count"] == table["nucleus_count"][label - 1]
    assert features[0]["nucleusGeometry"]["type"] == "MultiPolygon"


def test_shapes_of_nuclei_are_detections(inputs):
    write(inputs, spec(sample="nuclei_only"), formats=("geojson.gz",))
    features = json.loads(gzip.decompress((inputs / "shapes/nuclei_only.geojson.gz").read_bytes()))["features"]
    assert {feature["properties"]["objectType"] for feature in features} == {"detection"}
    assert len(features) == 4


@pytest.mark.parametrize(("option", "value"), [("table_format", "xls"), ("columns", "QuPath")])
def test_unknown_choices_are_refused(option, value):
    with pytest.raises(ConfigError, match=f"--{option}: found '{value}', expected one of"):
        TableOptions(**{option: value})


def test_labels_of_another_size_are_refused(inputs):
    np.save(inputs / "images" / "1" / "s1.npy", np.zeros((3, 41, 60), np.uint16))
    with pytest.raises(InputError, match=r"labels .* for an image of \(41, 60\) px"):
        write(inputs, spec(shape=(41, 60)))


def test_an_image_that_is_not_that_of_the_plan_is_refused(inputs):
    """Its upper left part would be taken for the whole."""
    np.save(inputs / "images" / "1" / "s1.npy", np.zeros((3, 44, 60), np.uint16))
    with pytest.raises(InputError, match=r"3 channels of \(44, 60\) px, the plan saw 3 of \(40, 60\)"):
        write(inputs, spec())


def test_the_documentation_describes_every_column(project):
    page = (project / "docs/output.md").read_text(encoding="utf-8")
    for column in (*SHAPE_COLUMNS, *NUCLEUS_COLUMNS):
        assert f"| `{column.name}` | {column.unit or '–'} | {column.meaning} |" in page
    for dialect, columns in DIALECTS.items():
        assert f"| `{dialect}` | {', '.join(f'`{column.name}`' for column in columns)} |" in page
