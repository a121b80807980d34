"""Faults made on purpose on real images, and which of them the quality rules notice.

    python benchmarks/quality_faults.py --data ../shared/data --outdir results/quality_faults

The images are no part of the project: the middle of three large ones, a stained section that scikit-image ships,
and cultured nuclei of the 2018 Data Science Bowl; the latter two were not looked at for the limits.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry

from cellbatch.inference.engine import DEVICES
from cellbatch.io.tables import write_table
from cellbatch.phases.inspect_sample import SamplePixels, inspect_sample
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.segment_image import segment_loaded
from cellbatch.quality.verdict import default_thresholds
from cellbatch.spec import SampleSpec

RULES = default_thresholds()
# nuclei of the Data Science Bowl have no pixel size: one at which their median nucleus is this wide is assumed
NUCLEUS_UM = 9.0
CULTURES = 8
LONGEST_PX = 400
MIN_SIDE, MIN_NUCLEI = 250, 40
UNTOUCHED = "untouched"
SIZES = ("grain_um", "cell_diameter_um", "large_share")


@dataclass(frozen=True)
class Scene:
    """One image (Y, X, 2) with its pixel size and, once segmented, its labels."""

    image: np.ndarray
    mpp: float
    has_membrane: bool = True
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)


def quarters(data: Path) -> dict[str, Scene]:
    """Take lower right quarters of the three large images, and a stained section as hematoxylin and DAB."""
    scenes = {}
    for name, folder, mpp in (
        ("MIBI breast", "mibi_breast_fov8", 0.390625),
        ("MIBI granuloma", "mibi_tb_granuloma", 0.49),
        ("cardiomyocytes", "cardiomyocyte_omezarr", None),
    ):
        planes = tifffile.imread(data / "images" / folder / "nuc_mem.ome.tif")
        meta = json.loads((data / "images" / folder / "meta.json").read_text())
        y, x = (size // 2 for size in planes.shape[1:])
        scenes[name] = Scene(
            np.moveaxis(planes[:, y : y + LONGEST_PX, x : x + LONGEST_PX], 0, -1).astype(np.float32),
            mpp or meta["mpp_um"],
        )
    stains = np.clip(rgb2hed(immunohistochemistry()[:LONGEST_PX, :LONGEST_PX])[..., [0, 2]], 0, None)
    scenes["colon, stained"] = Scene((stains * 1e4).astype(np.float32), 0.5)
    return scenes


def cultures(data: Path) -> dict[str, Scene]:
    """Take some images of cultured nuclei, spread over the collection; there is no membrane."""
    archive = np.load(data / "training/dsb2018_fluorescence.npz")
    names = sorted(name.removesuffix("_labels") for name in archive.files if name.endswith("_labels"))
    found = {}
    for name in names:
        labels = archive[f"{name}_labels"]
        if min(labels.shape) >= MIN_SIDE and labels.max() >= MIN_NUCLEI:
            found[name] = NUCLEUS_UM / (2 * np.sqrt(np.median(np.bincount(labels.ravel())[1:]) / np.pi))
    chosen = list(found)[:: max(1, len(found) // CULTURES)][:CULTURES]
    scenes = {}
    for place, name in enumerate(chosen, 1):
        plane = archive[f"{name}_image"][:LONGEST_PX, :LONGEST_PX].astype(np.float32)
        scenes[f"culture {place}"] = Scene(np.stack([plane, np.zeros_like(plane)], -1), found[name], has_membrane=False)
    return scenes


def swap(scene: Scene) -> Scene:
    """Exchange the channels."""
    return replace(scene, image=scene.image[..., ::-1].copy())


def blank(scene: Scene, channel: int) -> Scene:
    """Fill a channel with zeros."""
    image = scene.image.copy()
    image[..., channel] = 0
    return replace(scene, image=image)


def empty_glass(scene: Scene) -> Scene:
    """Give nothing but noise of the size that the darkest tenth of the pixels has."""
    rng, image = np.random.default_rng(3), scene.image.copy()
    for channel in (0, 1):
        plane = image[..., channel]
        dark = plane[plane <= np.percentile(plane, 10)]
        image[..., channel] = np.clip(rng.normal(dark.mean(), max(dark.std(), 1.0), plane.shape), 0, None).round()
    return replace(scene, image=image)


def saturate(scene: Scene, percentile: float) -> Scene:
    """Cut the nuclear channel off at a percentile."""
    image = scene.image.copy()
    image[..., 0] = np.minimum(image[..., 0], np.percentile(image[..., 0], percentile))
    return replace(scene, image=image)


def blur(scene: Scene, um: float) -> Scene:
    """Blur both channels."""
    sigma = um / scene.mpp
    return replace(scene, image=ndimage.gaussian_filter(scene.image, (sigma, sigma, 0)))


def scale(scene: Scene, factor: float) -> Scene:
    """State another pixel size."""
    return replace(scene, mpp=scene.mpp * factor)


def with_cells(scene: Scene, change: Callable[[np.ndarray], np.ndarray]) -> Scene:
    """Change the labels of the cells."""
    return replace(scene, labels={**scene.labels, "whole_cell": change(scene.labels["whole_cell"])})


def cut_at(labels: np.ndarray) -> np.ndarray:
    """Cut all cells along the middle row, as blocks that were not joined would be."""
    low = labels.copy()
    half = low[low.shape[0] // 2 :]
    half[half > 0] += labels.max()
    return low


def merge(labels: np.ndarray) -> np.ndarray:
    """Merge neighbours: in every second square of three cells' width, all whose middles lie in it."""
    middles = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, labels.max() + 1)))
    width = 3 * np.sqrt(np.count_nonzero(labels) / labels.max() * 4 / np.pi)
    squares = np.nan_to_num(middles // width).astype(int)
    group = squares[:, 0] * 10_000 + squares[:, 1]
    numbers = np.arange(labels.max() + 1)
    for one in np.unique(group[squares.sum(axis=1) % 2 == 0]):
        members = np.flatnonzero(group == one) + 1
        numbers[members] = members[0]
    return numbers[labels].astype(labels.dtype)


def split(labels: np.ndarray) -> np.ndarray:
    """Break every second cell into quarters about its middle."""
    y, x = np.indices(labels.shape)
    middles = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, labels.max() + 1)))
    middles = np.concatenate([np.zeros((1, 2)), np.nan_to_num(middles)])
    quarter = 2 * (y > middles[labels, 0]) + (x > middles[labels, 1])
    return np.where(labels % 2 == 1, labels + quarter * labels.max(), labels).astype(labels.dtype)


def without_cells(labels: np.ndarray) -> np.ndarray:
    """Leave two of five cells out."""
    return np.where(labels % 5 < 2, 0, labels)


def without_nuclei(scene: Scene) -> Scene:
    """Leave three of five nuclei out."""
    nuclei = scene.labels["nuclear"]
    return replace(scene, labels={**scene.labels, "nuclear": np.where(nuclei % 5 < 3, 0, nuclei)})


# fault → what makes it, the figures that are there for it, whether images without a membrane can have it
PIXEL_FAULTS: dict[str, tuple[Callable[[Scene], Scene], tuple[str, ...], bool]] = {
    "channels swapped": (swap, ("arrangement",), False),
    "nuclear channel blank": (lambda scene: blank(scene, 0), ("nuclear_blank",), True),
    "membrane channel blank": (lambda scene: blank(scene, 1), ("membrane_blank",), False),
    "nothing but noise": (empty_glass, ("signal_to_noise", "contrast", "cells"), True),
    "saturated, 3 % of pixels": (lambda scene: saturate(scene, 97), ("nuclear_saturated",), True),
    "saturated, 15 % of pixels": (lambda scene: saturate(scene, 85), ("nuclear_saturated",), True),
    "blurred, sigma 1 µm": (lambda scene: blur(scene, 1), ("focus",), True),
    "blurred, sigma 2 µm": (lambda scene: blur(scene, 2), ("focus",), True),
    "pixel size x 0.25": (lambda scene: scale(scene, 0.25), SIZES, True),
    "pixel size x 0.5": (lambda scene: scale(scene, 0.5), SIZES, True),
    "pixel size x 2": (lambda scene: scale(scene, 2), SIZES, True),
    "pixel size x 4": (lambda scene: scale(scene, 4), SIZES, True),
}
LABEL_FAULTS: dict[str, tuple[Callable[[Scene], Scene], tuple[str, ...], bool]] = {
    "a seam across the image": (lambda scene: with_cells(scene, cut_at), ("seam_score", "cut_cells"), True),
    "half of the cells merged by nines": (lambda scene: with_cells(scene, merge), ("large_share",), True),
    "half of the cells in quarters": (lambda scene: with_cells(scene, split), ("small_share",), True),
    "two of five cells missing": (lambda scene: with_cells(scene, without_cells), ("orphan_share",), True),
    "three of five nuclei missing": (without_nuclei, ("anucleate_share",), True),
}


def judge_figures(scene: Scene) -> dict[str, float]:
    """Figures that do not pass, with their values."""
    sample = SampleSpec(
        "s", (), scene.image.shape[:2], scene.mpp, "0", "1" if scene.has_membrane else "", ("a", "b"), "float32"
    )
    readers = {name: lambda window, values=values: values[window.slices] for name, values in scene.labels.items()}
    pixels = SamplePixels(lambda window: scene.image[window.slices], readers)
    found = inspect_sample(sample, pixels, RULES)[0]
    cells = len(found.areas)
    figures = {**found.figures, "cells": found.counts["whole_cell"], "nuclei": found.counts["nuclear"]}
    return {
        name: figures[name]
        for name, rule in RULES.items()
        if name in figures
        and figures[name] == figures[name]
        and cells >= rule.needs_cells
        and rule.verdict(figures[name]) != "pass"
    }


def try_scene(name: str, scene: Scene, model: LoadedModel) -> list[dict[str, object]]:
    """Judge one image untouched and with every fault."""

    def segmented(changed: Scene) -> Scene:
        return replace(changed, labels=segment_loaded(changed.image, changed.mpp, model))

    whole = segmented(scene)
    before = judge_figures(whole)
    rows: list[dict[str, object]] = [
        {
            "image": name,
            "fault": UNTOUCHED,
            "own_rule": "",
            "seen": _shown(before),
            "caught": False,
            "noticed": bool(before),
        }
    ]
    for faults, base in ((PIXEL_FAULTS, None), (LABEL_FAULTS, whole)):
        for fault, (change, own, is_for_all) in faults.items():
            if not (scene.has_membrane or is_for_all):
                continue
            after = judge_figures(change(base) if base else segmented(change(scene)))
            new = set(after) - set(before)
            rows.append(
                {
                    "image": name,
                    "fault": fault,
                    "own_rule": ", ".join(own),
                    "seen": _shown(after),
                    "caught": bool(new & set(own)),
                    "noticed": bool(new),
                }
            )
    return rows


def summarize(table: pd.DataFrame) -> str:
    """Table in Markdown: of how many images a fault was named by its own rule, and noticed by any new one."""
    groups = list(dict.fromkeys(table["group"]))
    lines = ["| fault | " + " | ".join(f"{group}: own rule | any rule" for group in groups) + " |"]
    lines.append("|---" * (1 + 2 * len(groups)) + "|")
    for fault in dict.fromkeys(table["fault"]):
        cells = []
        for group in groups:
            rows = table[(table["group"] == group) & (table["fault"] == fault)]
            own = f"{int(rows['caught'].sum())} of {len(rows)}" if fault != UNTOUCHED else ""
            cells += [own if len(rows) else "–", f"{int(rows['noticed'].sum())} of {len(rows)}" if len(rows) else "–"]
        lines.append(f"| {fault} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(figures: Mapping[str, float]) -> str:
    return "; ".join(f"{name} {value:.3g}" for name, value in figures.items())


def main() -> None:
    """Try all images, print the table and write every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and training/")
    parser.add_argument("--outdir", type=Path, default=Path("results/quality_faults"))
    options = parser.parse_args()
    model = LoadedModel(find_model("demo"), InferenceOptions(device=DEVICES[0]))
    tables = []
    for group, scenes in (("two channels", quarters(options.data)), ("cultures", cultures(options.data))):
        for name, scene in scenes.items():
            tables.append(pd.DataFrame(try_scene(name, scene, model)).assign(group=group))
            print(
                f"{name}: {scene.image.shape[:2]} px, untouched: {tables[-1]['seen'].iloc[0] or 'passes'}", flush=True
            )
    table = pd.concat(tables, ignore_index=True)
    print(summarize(table))
    options.outdir.mkdir(parents=True, exist_ok=True)
    write_table(table.astype(str), options.outdir / "quality_faults.csv", "csv")


if __name__ == "__main__":
    main()
