"""What stands inside the results of the workflows."""

import csv

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from PIL import Image


def _rows(path, delimiter=","):
    with path.open(encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter=delimiter))


@pytest.mark.workflow("default with the older parser")
def test_labels_tables_and_summary_agree(workflow_dir):
    results = workflow_dir / "results"
    summary = {row["sample"]: row for row in _rows(results / "qc/summary.csv")}
    assert sorted(summary) == ["tissue_01", "tissue_02"]
    for sample, row in summary.items():
        labels = tifffile.imread(results / f"labels/{sample}.whole_cell.ome.tif")
        assert (labels.dtype, labels.shape) == (np.uint32, (200, 200))
        count = int(labels.max())
        assert count > 10
        assert sorted(np.unique(labels)) == list(range(count + 1))
        cells = pd.read_parquet(results / f"cells/{sample}.cells.parquet")
        assert int(row["cells"]) == len(cells) == count
        assert np.array_equal(cells["area"], np.bincount(labels.ravel())[1:])
        assert row["verdict"] == "pass"


@pytest.mark.workflow("default with the older parser")
def test_the_model_is_loaded_once_per_inference_task(workflow_dir):
    info = workflow_dir / "results/pipeline_info"
    tasks = [row for row in _rows(info / "execution_trace.txt", "\t") if row["process"].endswith(":INFER_TILES")]
    steps = [row["step"] for row in _rows(info / "timings.csv")]
    assert len(tasks) == steps.count("load_model") == steps.count("warm_up") == 1
    assert steps.count("network") == 2


@pytest.mark.workflow("default with the older parser")
def test_overlays_show_outlines(workflow_dir):
    picture = np.asarray(Image.open(workflow_dir / "results/qc/tissue_01.overlay.png"))
    yellow = (picture[..., 0] > 240) & (picture[..., 1] > 200) & (picture[..., 2] < 80)
    assert min(picture.shape[:2]) >= 400
    assert yellow.mean() > 0.01


@pytest.mark.workflow("an empty image and one file per channel")
def test_an_empty_image_is_a_valid_result(workflow_dir):
    results = workflow_dir / "results"
    labels = tifffile.imread(results / "labels/empty.whole_cell.ome.tif")
    assert (labels.dtype, labels.shape, labels.max()) == (np.uint32, (100, 300), 0)
    assert _rows(results / "cells/empty.cells.csv") == []
    reasons = {row["sample"]: row["reasons"] for row in _rows(results / "qc/summary.csv")}
    assert "no cells" in reasons["empty"]
    assert tifffile.imread(results / "labels/cells.nuclear.ome.tif").max() > 0


@pytest.mark.workflow("an empty image and one file per channel")
def test_labels_stand_beside_the_channels_in_a_zarr(workflow_dir):
    results = workflow_dir / "results"
    for sample, names in (("cells", ["DAPI", "CD45"]), ("empty", ["DAPI", "CD45"])):
        group = zarr.open_group(results / f"zarr/{sample}.ome.zarr", mode="r")
        labels = tifffile.imread(results / f"labels/{sample}.nuclear_matched.ome.tif")
        assert np.array_equal(group["labels/nuclear_matched/0"][:], labels)
        assert [channel["label"] for channel in group.attrs["ome"]["omero"]["channels"]] == names
        assert group["0"].shape == (2, *labels.shape)


@pytest.mark.workflow("an empty image and one file per channel")
def test_no_handoff_is_left_with_cleanup(workflow_dir):
    assert list((workflow_dir / "work").glob("*/*/labels/*.tif"))
    assert [path for path in (workflow_dir / "work").glob("*/*/*.zip") if path.exists()] == []


@pytest.mark.workflow("names that shells and globs would take apart")
def test_unknown_columns_travel_into_the_summary(workflow_dir):
    rows = {row["sample"]: row for row in _rows(workflow_dir / "my results/qc/summary.csv")}
    assert [rows[f"odd_{i}"]["patient"] for i in range(3)] == ["", "p1", "p2"]
