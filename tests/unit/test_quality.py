"""Quality that decides: a clean tissue passes, and every fault that is made on purpose is named."""

import json
import re
from functools import lru_cache

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage
from skimage.measure import regionprops_table

from cellbatch.errors import ConfigError
from cellbatch.geometry.blocks import BlockGrid
from cellbatch.phases.inspect_sample import SamplePixels, inspect_sample
from cellbatch.phases.qc_thresholds import check_thresholds, read_thresholds
from cellbatch.quality.figures import FIGURES
from cellbatch.quality.seams import Seam, SeamCounter
from cellbatch.quality.tally import LabelTally
from cellbatch.quality.verdict import _REASONS, default_thresholds, judge, parse_thresholds
from cellbatch.spec import SampleSpec, Window

MPP = 0.5
SIDE = 400
RULES = default_thresholds()


@lru_cache
def draw_tissue(seed: int, spacing: int = 25) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Labels by compartment, and (Y, X, 2) channels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-13:14, -13:14]
    labels = {name: np.zeros((SIDE, SIDE), np.uint32) for name in ("whole_cell", "nuclear")}
    image = rng.normal(100, 10, (SIDE, SIDE, 2)).astype(np.float32)
    middles = [(row, column) for row in range(14, SIDE - 14, spacing) for column in range(14, SIDE - 14, spacing)]
    for label, (row, column) in enumerate(middles, 1):
        box = slice(row - 13, row + 14), slice(column - 13, column + 14)
        distance = np.hypot(y - rng.uniform(-2, 2), x - rng.uniform(-2, 2))
        radius = rng.uniform(9, 12)
        labels["whole_cell"][box][distance < radius] = label
        labels["nuclear"][box][distance < 0.6 * radius] = label
        image[box][distance < 0.6 * radius, 0] += rng.uniform(600, 1000)
        image[box][np.abs(distance - radius) < 1.5, 1] += 500
    return labels, ndimage.gaussian_filter(image, (0.7, 0.7, 0))


class Tissue:
    """Round cells on a jittered grid, their nuclei, and what a microscope would see of them."""

    def __init__(self, seed: int = 0) -> None:
        labels, image = draw_tissue(seed)
        self.labels = {name: values.copy() for name, values in labels.items()}
        self.image = image.copy()
        self.mpp, self.membrane, self.given = MPP, "1", {}

    def look(self, **settings):
        """Findings of this sample."""
        sample = SampleSpec("s", (), self.image.shape[:2], self.mpp, "0", self.membrane, ("a", "b"), "float32")
        cut = {name: lambda window, values=values: values[window.slices] for name, values in self.labels.items()}
        pixels = SamplePixels(lambda window: self.image[window.slices], cut)
        return inspect_sample(sample, pixels, settings.get("thresholds", RULES), self.given)[0]


def make_noise(tissue):
    rng = np.random.default_rng(1)
    tissue.image = rng.poisson(0.3, tissue.image.shape).astype(np.float32)


def make_faint(tissue):
    nuclear = tissue.image[..., 0]
    tissue.image[..., 0] = 60000 + ndimage.gaussian_filter(nuclear, 1)


def make_blurred(tissue):
    tissue.image = ndimage.gaussian_filter(tissue.image, (9, 9, 0))


def make_swapped(tissue):
    tissue.image = tissue.image[..., ::-1].copy()


def make_blank_nuclear(tissue):
    tissue.image[..., 0] = 7


def make_blank_membrane(tissue):
    tissue.image[..., 1] = 0


def make_saturated(tissue):
    tissue.image[..., 0] = np.minimum(tissue.image[..., 0], 400)


def make_pixels_too_small(tissue):
    tissue.mpp = MPP / 4


def make_pixels_too_large(tissue):
    tissue.mpp = MPP * 4


def make_empty(tissue):
    tissue.labels = {name: np.zeros_like(values) for name, values in tissue.labels.items()}


def make_cut(tissue):
    for values in tissue.labels.values():
        lower = values[200:]
        lower[lower > 0] += 1000
        # cells that end at the line, where the next ones begin
        tissue.labels["whole_cell"][196:204] = np.repeat(np.arange(1, 21, dtype=np.uint32), 20)[None]
        tissue.labels["whole_cell"][200:204] += 2000


def make_some_cut(tissue):
    cells = tissue.labels["whole_cell"]
    row = 150 + int(np.count_nonzero(cells[150:250], axis=1).argmax())
    some, widths = np.unique(cells[row][cells[row] > 0], return_counts=True)
    cut, others = some[np.argsort(widths)[-4:]], some[np.argsort(widths)[:-4]]
    # few cells lie along the line
    cells[np.isin(cells, others)] = 0
    lower = cells[row:]
    lower[np.isin(lower, cut)] += 1000


def make_merged(tissue):
    cells = tissue.labels["whole_cell"]
    for first in range(1, 226, 15):
        cells[(cells > first) & (cells < first + 7)] = first


def make_split(tissue):
    cells = tissue.labels["whole_cell"]
    places = np.argwhere(cells > 0)[::150]
    for label, (y, x) in enumerate(places[:120], 5000):
        cells[y : y + 2, x : x + 2] = label


def make_anucleate(tissue):
    nuclei = tissue.labels["nuclear"]
    nuclei[nuclei > 60] = 0


def make_orphans(tissue):
    cells = tissue.labels["whole_cell"]
    cells[cells > 180] = 0


def make_bare(tissue):
    tissue.labels["nuclear"] = tissue.labels["whole_cell"].copy()


def make_border(tissue):
    for name, values in tissue.labels.items():
        tissue.labels[name] = values[180:215].copy()
    tissue.image = tissue.image[180:215]


def make_uncertified(tissue):
    tissue.given = {"uncertified_blocks": 3}


def make_missing(tissue):
    tissue.given = {"missing_chunks": 2}


FAULTS = {
    make_noise: ("signal_to_noise", "fail"),
    make_faint: ("contrast", "fail"),
    make_blurred: ("focus", "warn"),
    make_swapped: ("arrangement", "fail"),
    make_blank_nuclear: ("nuclear_blank", "fail"),
    make_blank_membrane: ("membrane_blank", "warn"),
    make_saturated: ("nuclear_saturated", "warn"),
    make_pixels_too_small: ("cell_diameter_um", "warn"),
    make_pixels_too_large: ("grain_um", "warn"),
    make_empty: ("cells", "warn"),
    make_cut: ("seam_score", "fail"),
    make_some_cut: ("cut_cells", "warn"),
    make_merged: ("large_share", "warn"),
    make_split: ("small_share", "warn"),
    make_anucleate: ("anucleate_share", "warn"),
    make_orphans: ("orphan_share", "warn"),
    make_bare: ("bare_share", "warn"),
    make_border: ("border_share", "warn"),
    make_uncertified: ("uncertified_blocks", "warn"),
    make_missing: ("missing_chunks", "warn"),
}


def stem(figure: str) -> str:
    return _REASONS[figure].split("{")[0]


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_tissue_passes(seed):
    found = Tissue(seed).look()
    assert (found.verdict, found.reasons) == ("pass", ())
    assert set(found.figures) == set(FIGURES)
    assert found.figures["cell_diameter_um"] == pytest.approx(10.5, abs=0.5)
    assert found.figures["grain_um"] == pytest.approx(6.5, rel=0.2)
    assert found.figures["median_nc_ratio"] == pytest.approx(0.36, abs=0.02)


@pytest.mark.parametrize("make_fault", FAULTS, ids=lambda fault: fault.__name__.removeprefix("make_"))
def test_every_fault_is_named(make_fault):
    tissue = Tissue()
    make_fault(tissue)
    figure, verdict = FAULTS[make_fault]
    found = tissue.look()
    assert any(reason.startswith(stem(figure)) for reason in found.reasons), (found.reasons, found.figures)
    assert found.verdict == verdict


def test_every_reason_has_a_fault_that_shows_it():
    shown = {figure for figure, _ in FAULTS.values()}
    # the membrane is told as the nuclear channel is, and no nuclei as no cells are
    assert set(_REASONS) - shown == {"membrane_saturated", "nuclei"}
    assert set(RULES) == set(_REASONS)


def test_the_pixel_size_is_told_with_the_factor_by_which_it_is_off():
    tissue = Tissue()
    make_pixels_too_large(tissue)
    text = "; ".join(tissue.look().reasons)
    assert re.search(r"nuclear blobs are 2\d\.\d µm wide; image_mpp may be (3\.\d|4\.0) times too large", text)


def test_a_membrane_that_was_not_asked_for_may_be_blank():
    tissue = Tissue()
    make_blank_membrane(tissue)
    tissue.membrane = ""
    assert tissue.look().verdict == "pass"


def test_cells_without_a_membrane_may_be_no_larger_than_their_nuclei():
    tissue = Tissue()
    make_blank_membrane(tissue)
    make_bare(tissue)
    tissue.membrane = ""
    found = tissue.look()
    assert found.verdict == "pass"
    assert np.isnan(found.figures["bare_share"])


def test_nuclei_alone_are_judged_without_cells():
    tissue = Tissue()
    del tissue.labels["whole_cell"]
    found = tissue.look()
    assert found.verdict == "pass"
    assert np.isnan(found.figures["anucleate_share"])
    assert found.figures["cell_diameter_um"] == pytest.approx(6.3, abs=0.3)


def test_the_users_thresholds_replace_those_they_name(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"focus": {"fail_below": 2}, "cells": {"warn_below": None}}))
    rules = read_thresholds(path)
    assert (rules["focus"].fail_below, rules["focus"].warn_below) == (2, None)
    assert rules["contrast"] == RULES["contrast"]
    found = Tissue().look(thresholds=rules)
    assert found.verdict == "fail"
    assert "focus" in found.reasons[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"focuss": {}}', "did you mean focus"),
        ('{"focus": {"warn_bellow": 1}}', "did you mean warn_below"),
        ('{"focus": {"warn_below": "1"}}', "found '1', expected a number"),
        ('{"focus": {"needs_cells": null}}', "expected a number"),
        ('{"focus": 1}', "expected limits"),
        ("[1]", "mine.json"),
        ("{", "mine.json"),
    ],
)
def test_wrong_thresholds_are_refused(tmp_path, text, message):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_thresholds(path)


def test_no_thresholds_of_ones_own_are_those_that_ship(project):
    assert read_thresholds(None) == check_thresholds(None) == RULES
    assert read_thresholds(project / "assets" / "qc_thresholds.json") == RULES


def test_what_cannot_be_told_passes_and_failures_come_first():
    rules = parse_thresholds({"focus": {"warn_below": 1}, "contrast": {"fail_below": 1}}, {})
    assert judge({"focus": np.nan, "contrast": None, "cells": 9}, rules) == ("pass", [])
    verdict, reasons = judge({"focus": 0.5, "contrast": 0.5, "cells": 9}, rules)
    assert verdict == "fail"
    assert ["brighter" in reason for reason in reasons] == [True, False]


def test_too_few_cells_say_nothing():
    rules = parse_thresholds({"focus": {"warn_below": 1, "needs_cells": 10}}, {})
    assert judge({"focus": 0.5, "cells": 9}, rules) == ("pass", [])
    assert judge({"focus": 0.5, "cells": None, "nuclei": 10}, rules)[0] == "warn"


@pytest.mark.parametrize("core_px", [512, 1024, 2048])
def test_tally_by_blocks_equals_scikit_image(core_px):
    rng = np.random.default_rng(3)
    labels = rng.permutation(26 * 31).reshape(26, 31).repeat(45, 0).repeat(37, 1).astype(np.uint32)
    other = rng.integers(0, 2, labels.shape)
    values = rng.random((*labels.shape, 2)).astype(np.float32)
    tally = LabelTally(labels.shape)
    for core in BlockGrid(labels.shape, core_px).cores():
        tally.add(core, labels[core.slices], other[core.slices], values[core.slices])
    table = regionprops_table(labels, values, properties=("area", "centroid", "intensity_mean"))
    assert_array_equal(tally.area, table["area"])
    assert_array_equal(tally.inside, np.bincount(labels[other > 0])[1:])
    np.testing.assert_allclose(tally.means[:, 1], table["intensity_mean-1"], rtol=1e-5)
    np.testing.assert_allclose(tally.place[:, 0], table["centroid-0"], atol=1)
    np.testing.assert_allclose(tally.place[:, 1], table["centroid-1"], atol=1)
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    assert_array_equal(tally.is_at_border, np.isin(np.arange(1, 26 * 31), edges))


@pytest.mark.parametrize("core_px", [512, 2048])
def test_seams_by_blocks_are_found_where_they_are(core_px):
    cells = np.tile(draw_tissue(0)[0]["whole_cell"], (3, 3))[:1199, :1201]
    cells[:, :700][806:][cells[:, :700][806:] > 0] += 1000
    counter = SeamCounter(cells.shape)
    for core in BlockGrid(cells.shape, core_px).cores():
        counter.add(core, cells[core.slices])
    assert counter.worst(21) == Seam(1, 806, 256)


@pytest.mark.parametrize("core_px", [512, 2048])
@pytest.mark.parametrize("axis", [0, 1])
def test_few_cells_that_a_line_cuts_are_counted(core_px, axis):
    labels = np.zeros((1200, 1100), np.uint32)
    disk = np.hypot(*(np.mgrid[-12:13, -12:13])) <= 12
    for number, x in enumerate((100, 160, 300, 480), 1):
        labels[588:613, x : x + 25][disk] = number
    # farther along the line, a neighbour that touches along a stair; and one far from the line
    labels[588:613, 600:625][disk] = 5
    labels[600:613, 600:612] = 6
    labels[601:613, 612:625] = 6
    labels[900:925, 200:225][disk] = 7
    whole = labels.copy()
    labels[602:][labels[602:] > 0] += 100
    turned = labels if axis == 0 else np.ascontiguousarray(labels.T)
    counter = SeamCounter(turned.shape)
    for core in BlockGrid(turned.shape, core_px).cores():
        counter.add(core, turned[core.slices])
    assert counter.most_cut(25) == 4
    assert counter.most_cut(80) == 0
    untouched = SeamCounter(whole.shape)
    untouched.add(Window(0, 1200, 0, 1100), whole)
    assert (untouched.most_cut(25), untouched.most_cut(30)) == (1, 0)


def test_too_short_lines_say_nothing_of_seams():
    counter = SeamCounter((40, 40))
    counter.add(Window(0, 40, 0, 40), np.arange(1600, dtype=np.uint32).reshape(40, 40))
    assert counter.worst(10) is None
