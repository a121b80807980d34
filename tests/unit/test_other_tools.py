"""Tables of other tools on the same masks and images, recomputed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.testing import assert_allclose
from skimage.measure import regionprops_table

from cellbatch.measurement.cells import measure_cells
from cellbatch.measurement.dialects import translate

CHANNELS = ("Ag107", "Cytokeratin 5", "Laminin", "YBX1", "H3K27Ac")
SHAPES = {
    "area": "area",
    "centroid-0": "centroid_y",
    "centroid-1": "centroid_x",
    "axis_major_length": "major_axis_length",
    "axis_minor_length": "minor_axis_length",
    "eccentricity": "eccentricity",
}
MCQUANT = {
    "X_centroid": "centroid-1",
    "Y_centroid": "centroid-0",
    "Area": "area",
    "MajorAxisLength": "axis_major_length",
    "MinorAxisLength": "axis_minor_length",
    "Eccentricity": "eccentricity",
    "Solidity": "solidity",
    "Extent": "extent",
    "Orientation": "orientation",
}


def draw() -> tuple[np.ndarray, np.ndarray]:
    """Draw overlapping ellipses with a gap in the numbers, and two channels."""
    rng = np.random.default_rng(8)
    labels = np.zeros((90, 120), np.uint32)
    y, x = np.mgrid[:90, :120]
    for label in [n for n in range(1, 26) if n != 7]:
        angle, (long, short) = rng.uniform(0, np.pi), rng.uniform(4, 13, 2)
        dy, dx = y - rng.uniform(0, 90), x - rng.uniform(0, 120)
        u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        labels[(u / long) ** 2 + (v / short) ** 2 < 1] = label
    return labels, rng.integers(0, 3000, (2, 90, 120)).astype(np.uint16)


def translated(dialect: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    labels, channels = draw()
    table = measure_cells(labels, channels.__getitem__, ["DNA", "CD8"], 0.5)
    table.insert(0, "sample", "s1")
    return translate(table, dialect, ["DNA", "CD8"], 0.5), labels, channels


def test_mcquant_columns_are_its_formula():
    """Its columns are regionprops_table's under its own names, in histoCAT's order (mcquant 1.6, its README)."""
    table, labels, channels = translated("mcquant")
    assert_mcquant(table, labels, channels, ["DNA", "CD8"])


@pytest.mark.parametrize(
    ("folder", "mask", "cells"),
    [
        ("mibi_breast_fov8", "mask_deepcell_2022.tif", 553),
        ("cycif_exemplar001", "mask_mcmicro_cell.tif", 218),
    ],
)
def test_mcquant_columns_on_real_masks(shared_data, folder, mask, cells):
    """Masks and images from elsewhere."""
    labels = tifffile.imread(shared_data / "images" / folder / mask)
    channels = tifffile.imread(shared_data / "images" / folder / "nuc_mem.ome.tif")
    table = measure_cells(labels.astype(np.uint32), channels.__getitem__, ["DNA", "membrane"], 0.5)
    table.insert(0, "sample", "s1")
    assert len(table) == cells
    assert_mcquant(translate(table, "mcquant", ["DNA", "membrane"], 0.5), labels, channels, ["DNA", "membrane"])


def assert_mcquant(table: pd.DataFrame, labels: np.ndarray, channels: np.ndarray, names: list[str]) -> None:
    """Hold a table against what mcquant asks of scikit-image, in its order."""
    expected = regionprops_table(
        labels.astype(int),
        np.moveaxis(channels, 0, -1),
        properties={"label", "intensity_mean", *(name.split("-")[0] for name in MCQUANT.values())},
    )
    columns = {name: f"intensity_mean-{place}" for place, name in enumerate(names)}
    columns = {"CellID": "label", **columns, **MCQUANT}
    assert list(table) == list(columns)
    assert len(table) > 15
    for name, theirs in columns.items():
        assert_allclose(table[name], expected[theirs], rtol=1e-9, atol=1e-9, err_msg=name)


def imc_regions(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "images/imc_mock/orig").glob("masks_deepcell__*.tiff"))


def test_imc_regions_equal_the_tables_that_came_with_them(shared_data):
    """steinbock's own measurements of 15 regions, on its masks and images."""
    folder = shared_data / "images/imc_mock/orig"
    if not (folder / "cells.csv").exists():
        pytest.skip("the regions are absent")
    expected = pd.read_csv(folder / "cells.csv")
    regions = imc_regions(shared_data)
    assert len(regions) == 15
    compared = 0
    for path in regions:
        name = path.name.removeprefix("masks_deepcell__")
        pixels = tifffile.imread(folder / f"ome__{name.removesuffix('.tiff')}.ome.tiff")
        found = measure_cells(tifffile.imread(path), list(pixels).__getitem__, CHANNELS, 1.0)
        theirs = expected[expected["Image"] == name].sort_values("Object")
        assert found["label"].tolist() == theirs["Object"].tolist()
        for column, ours in SHAPES.items():
            assert_allclose(found[ours], theirs[column], rtol=1e-9, atol=1e-6, err_msg=f"{name} {column}")
        for channel in CHANNELS:
            assert_allclose(
                found[f"mean_{channel}"], theirs[channel], rtol=1e-5, atol=1e-6, err_msg=f"{name} {channel}"
            )
        compared += len(found)
    assert compared == len(expected) == 404
