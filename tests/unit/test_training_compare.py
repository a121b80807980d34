import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from compare_tissue import compare, describe_drawn
from tissue_options import TissueOptions, make_widefield, random_options
from tissue_signal import record
from tissue_statistics import bin_power, describe_channel, describe_objects

MPP = 0.5


@pytest.mark.parametrize(("period_um", "place"), [(1.4, 0), (3.0, 1), (6.0, 2), (12.0, 3), (24.0, 4)])
@pytest.mark.parametrize("shape", [(256, 300), (301, 255)])
def test_power_lies_at_the_period_of_the_waves(period_um: float, place: int, shape: tuple[int, int]) -> None:
    x = np.arange(shape[1]) * MPP
    wave = np.sin(2 * np.pi * x / period_um)[None, :] * np.ones((shape[0], 1))
    for image in (wave, 3 * wave + 5):
        power = bin_power(image.astype(np.float32))
        assert power[place] > 0.95 * power.sum()


def test_power_counts_each_direction_alike() -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(200, 161)), 1.5).astype(np.float32)
    assert bin_power(image.T) == pytest.approx(bin_power(image), rel=1e-4)


def test_grey_levels_are_the_quantiles() -> None:
    figures = describe_channel(np.linspace(0, 1, 10000, dtype=np.float32).reshape(100, 100))
    assert figures["dark"] == pytest.approx(0.1, abs=1e-3)
    assert figures["middle"] == pytest.approx(0.5, abs=1e-3)
    assert figures["bright"] == pytest.approx(0.9, abs=1e-3)


def test_objects_are_described_in_micrometres_and_by_how_they_stand_out() -> None:
    labels = np.zeros((200, 100), np.uint32)
    labels[20:60, 20:60] = 3
    labels[120:130, 20:40] = 7
    image = np.full((200, 100, 2), 0.2, np.float32)
    image[labels > 0] = (0.8, 0.3)
    image[22:58, 22:58, 1] = 0.1
    image[122:128, 22:38, 1] = 0.1
    figures = describe_objects(image, labels)
    assert figures["area"] == (1600 + 200) / 2 * MPP**2
    assert figures["small"] == pytest.approx((200 + 0.1 * 1400) * MPP**2)
    assert figures["density"] == pytest.approx(1e4 * 2 / (100 * 50))
    assert figures["nuclear contrast"] == pytest.approx(4)
    assert figures["membrane contrast"] == pytest.approx(3)


def test_what_is_missing_is_no_number() -> None:
    figures = describe_objects(np.zeros((50, 50, 2), np.float32), np.zeros((50, 50), np.uint32))
    assert figures.pop("density") == 0
    assert np.isnan(list(figures.values())).all()


def test_values_outside_of_the_drawn_ones_are_marked() -> None:
    drawn = pd.DataFrame({"a": np.arange(101.0), "b": np.arange(101.0)})
    real = pd.DataFrame({"a": [50.0, 4.0], "b": [96.0, np.nan]}, index=["x", "y"])
    table, rank = compare(drawn, real)
    assert table.loc["a"].tolist() == ["5 to 95", "50", "**4**"]
    assert table.loc["b"].tolist() == ["5 to 95", "**96**", ""]
    assert rank["x"].tolist() == pytest.approx([50.5 / 101, 96.5 / 101])
    assert np.isnan(rank.loc["b", "y"])


def test_a_value_that_many_drawn_fields_share_lies_among_them() -> None:
    drawn = pd.DataFrame({"a": [0.0] * 30 + [1.0] * 70})
    table, rank = compare(drawn, pd.DataFrame({"a": [0.0]}, index=["x"]))
    assert rank.loc["a", "x"] == pytest.approx(0.15)
    assert table.loc["a", "x"] == "0"


def test_drawn_fields_have_every_figure() -> None:
    figures = pd.DataFrame(describe_drawn(4))
    assert len(figures) == 4
    of_channel = ["dark", "middle", "bright", *(f"{low}-{2 * low} µm" for low in (1, 2, 4, 8, 16))]
    of_objects = ["small", "area", "large", "density", "nuclear contrast", "membrane contrast"]
    expected = [f"{place}, {name}" for place in ("nuclear", "membrane") for name in of_channel]
    expected += [f"{place}, {name}" for place in ("whole cell", "nuclei") for name in of_objects]
    assert sorted(figures) == sorted(expected)


def test_plain_fields_are_those_between_the_widefield_ones() -> None:
    plain, mixed = (list(describe_drawn(2, widefield)) for widefield in (False, True))
    assert plain[0] == mixed[0]
    assert plain[1] != mixed[1]


def test_widefield_light_reaches_what_lies_dark_between_nuclei() -> None:
    signal = np.zeros((100, 100, 2), np.float32)
    signal[20:40, 20:40] = signal[20:40, 46:66] = 1
    plain = TissueOptions(background=0, bleed=0, debris=0, illumination=0, photons=1e6)
    hazy = TissueOptions(background=0, bleed=0, debris=0, illumination=0, photons=1e6, haze=1.0, haze_px=10)
    gap = [
        record(signal, np.random.default_rng(0), options)[30, 43, 0] / options.full_scale for options in (plain, hazy)
    ]
    assert gap[0] < 0.05
    assert gap[1] > 0.25


def test_widefield_recipes_keep_the_tissue_and_lay_nuclei_close() -> None:
    pairs = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        options = random_options(rng)
        pairs.append((options, make_widefield(options, rng)))
    assert all(wide.haze > 0 and wide.binning == 1 and wide.photons >= 30 for _, wide in pairs)
    assert all(wide.cell_diameter_px == options.cell_diameter_px for options, wide in pairs)
    ratio = np.mean([(options.nucleus_ratio, wide.nucleus_ratio) for options, wide in pairs], axis=0)
    assert ratio[1] > ratio[0] + 0.05
