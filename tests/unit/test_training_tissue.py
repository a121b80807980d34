"""Drawn tissue: truth and image belong together, and the same seed draws the same."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage.measure import label

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from draw_tissue import Tissue, draw_tissue, main
from tissue_options import TissueOptions, random_options
from tissue_shapes import keep_largest_pieces
from tissue_signal import BARE_MARGIN_PX


@pytest.fixture(scope="module")
def tissue() -> Tissue:
    return draw_tissue((160, 192), np.random.default_rng(3), TissueOptions())


def test_types_and_numbers(tissue: Tissue) -> None:
    assert tissue.image.shape == (160, 192, 2)
    assert tissue.image.dtype == np.uint16
    for labels in (tissue.whole_cell, tissue.nuclear):
        assert labels.shape == (160, 192)
        assert labels.dtype == np.uint32
        assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert tissue.whole_cell.max() > 30


def test_every_object_is_one_piece(tissue: Tissue) -> None:
    for labels in (tissue.whole_cell, tissue.nuclear):
        assert label(labels, connectivity=1, background=0).max() == labels.max()


def test_every_nucleus_lies_in_one_cell(tissue: Tissue) -> None:
    pairs = np.unique(np.stack([tissue.nuclear, tissue.whole_cell], -1)[tissue.nuclear > 0], axis=0)
    assert len(pairs) == tissue.nuclear.max()
    assert (pairs[:, 1] > 0).all()


def test_light_is_where_the_truth_says(tissue: Tissue) -> None:
    nuclear, marker = tissue.image[..., 0].astype(float), tissue.image[..., 1].astype(float)
    assert nuclear[tissue.nuclear > 0].mean() > 3 * nuclear[tissue.whole_cell == 0].mean()
    assert marker[tissue.whole_cell > 0].mean() > 1.5 * marker[tissue.whole_cell == 0].mean()


def test_same_seed_same_tissue_other_seed_another() -> None:
    first, again, other = (draw_tissue((96, 96), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.whole_cell, again.whole_cell)
    assert not np.array_equal(first.image, other.image)


def test_cells_touch_when_packed_and_not_when_sparse() -> None:
    def touching(packing: float) -> float:
        options = TissueOptions(packing=packing, clustering=0.0, marker_absent=0.0)
        cells = draw_tissue((256, 256), np.random.default_rng(1), options).whole_cell
        left, right = cells[:, :-1], cells[:, 1:]
        return float(np.mean((left != right) & (left > 0) & (right > 0)))

    assert touching(0.75) > 5 * touching(1.4)


def test_absent_marker_leaves_what_the_nuclei_show() -> None:
    drawn = draw_tissue((128, 128), np.random.default_rng(2), TissueOptions(marker="absent"))
    assert drawn.whole_cell.max() > 10
    ratio = np.count_nonzero(drawn.whole_cell) / np.count_nonzero(drawn.nuclear)
    assert 1.1 < ratio < 2.5


@pytest.mark.parametrize("seed", range(12))
def test_any_random_recipe_can_be_drawn(seed: int) -> None:
    rng = np.random.default_rng([9, seed])
    drawn = draw_tissue((64, 80), rng, random_options(rng))
    assert drawn.image.shape == (64, 80, 2)
    assert np.ptp(drawn.image[..., 0]) > 0


def test_largest_piece_survives() -> None:
    labels = np.zeros((10, 20), np.uint32)
    labels[0:4, 0:4] = 5
    labels[6:8, 0:2] = 5
    labels[0:2, 10:12] = 9
    kept = keep_largest_pieces(labels, 5)
    assert np.count_nonzero(kept == 5) == 16
    assert set(np.unique(kept)) == {0, 5}


def test_refuses_tiny_shapes_and_unknown_markers() -> None:
    with pytest.raises(ValueError, match="32 px or more"):
        draw_tissue((16, 64), np.random.default_rng(0))
    with pytest.raises(ValueError, match="expected one of"):
        TissueOptions(marker="glow")


def test_command_writes_images_truth_and_samplesheet(tmp_path: Path) -> None:
    assert main(["--outdir", str(tmp_path), "--count", "2", "--size", "64", "--seed", "4"]) == 0
    with (tmp_path / "samplesheet.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["sample"] for row in rows] == ["tissue_01", "tissue_02"]
    assert rows[0]["nuclear_channel"] == "nuclear"
    assert rows[0]["membrane_channel"] == "membrane"
    with tifffile.TiffFile(tmp_path / rows[0]["image"]) as file:
        assert file.series[0].axes == "CYX"
        assert file.series[0].shape == (2, 64, 64)
        assert 'PhysicalSizeX="0.5"' in str(file.ome_metadata)
        assert 'Name="membrane"' in str(file.ome_metadata)
    truth = tifffile.imread(tmp_path / "truth" / "tissue_01.whole_cell.tif")
    expected = draw_tissue((64, 64), np.random.default_rng([4, 0]))
    assert truth.dtype == np.uint32
    assert np.array_equal(truth, expected.whole_cell)


def test_part_of_a_field_may_hold_smaller_cells() -> None:
    def sizes(share: float) -> np.ndarray:
        options = TissueOptions(small_share=share, small_ratio=0.5, size_spread=0.08, packing=0.8, clustering=0.0)
        cells = draw_tissue((256, 256), np.random.default_rng(4), options).whole_cell
        return np.bincount(cells.ravel())[1:]

    plain, mixed = sizes(0.0), sizes(0.5)
    assert len(mixed) > 1.5 * len(plain)
    assert np.quantile(mixed, 0.25) < 0.5 * np.median(plain)


def test_an_unrelated_marker_tells_nothing_of_cells() -> None:
    tissue = draw_tissue((192, 192), np.random.default_rng(6), TissueOptions(marker="unrelated", bleed=0.0))
    marker = tissue.image[..., 1].astype(float)
    assert marker.std() > 0
    inside, outside = marker[tissue.whole_cell > 0].mean(), marker[tissue.whole_cell == 0].mean()
    assert 0.7 < inside / outside < 1.4
    # what cannot be seen is not asked for: a rim around the nuclei is left of the cells
    outside_nuclei = ndimage.distance_transform_edt(tissue.nuclear == 0)[tissue.whole_cell > 0]
    assert 1 < outside_nuclei.max() <= BARE_MARGIN_PX


def test_small_nuclei_are_denser_where_dna_is_condensed() -> None:
    options = TissueOptions(
        small_share=0.5,
        small_ratio=0.5,
        nuclear_contrast=0.0,
        chromatin=0.0,
        condensation=1.0,
        blur_px=0.3,
        photons=500.0,
    )
    tissue = draw_tissue((256, 256), np.random.default_rng(8), options)
    areas = np.bincount(tissue.nuclear.ravel())[1:]
    light = np.bincount(tissue.nuclear.ravel(), tissue.image[..., 0].ravel())[1:] / areas
    small, large = light[areas < np.median(areas)], light[areas >= np.median(areas)]
    assert np.median(small) > 1.1 * np.median(large)
