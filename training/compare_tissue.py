"""Hold drawn tissue against real images: do its figures reach to where theirs lie.

    python training/compare_tissue.py --images ../shared/data/images --picture drawn_against_real.svg

Prints a table; the picture needs ``pip install -r requirements/plots.txt``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from draw_tissue import draw_tissue
from evaluate_images import read_cases
from tissue_options import TISSUE_MPP, make_widefield, random_options
from tissue_statistics import CHANNELS, describe_channel, describe_objects

from cellbatch.geometry.scale import model_shape
from cellbatch.postprocessing.resize import CENTRE, resize_labels
from cellbatch.preprocessing import preprocess
from cellbatch.preprocessing.resize import resize_image

SEED = 30
# of drawn fields; what lies outside is not seen, or hardly ever
LOW, HIGH = 0.05, 0.95

Figures = dict[str, float]


def describe(image: np.ndarray, labels: dict[str, np.ndarray]) -> Figures:
    """All figures of one image.

    Parameters
    ----------
    image : (Y, X, 2) float32
        Raw, at 0.5 µm/px.
    labels : dict
        ``whole cell`` and ``nuclei``, as far as known, each (Y, X) uint32.

    Returns
    -------
    dict
        Figure by name; none for a black channel.
    """
    seen = preprocess(image, percentile=99.9, clahe_kernel_size=128)
    figures = {}
    for place, name in enumerate(CHANNELS):
        if image[..., place].any():
            figures |= {f"{name}, {key}": value for key, value in describe_channel(seen[..., place]).items()}
    for compartment, objects in labels.items():
        figures |= {f"{compartment}, {key}": value for key, value in describe_objects(seen, objects).items()}
    return figures


def describe_real(data: Path) -> Iterator[tuple[str, Figures]]:
    """Group and figures of each real image, brought to 0.5 µm/px."""
    for case in read_cases(data):
        # a mask that is held against both shows nuclei rather than cells
        is_nuclei = "nuclear" in case.compartments
        shape = model_shape(case.image.shape[:2], case.image_mpp, TISSUE_MPP)
        labels = {"nuclei" if is_nuclei else "whole cell": resize_labels(case.truth, shape, CENTRE)}
        yield case.group, describe(np.asarray(resize_image(case.image, shape)), labels)


def describe_drawn(count: int, widefield: bool = True) -> Iterator[Figures]:
    """Figures of drawn fields of 512²; with ``widefield`` every other one as that microscope sees thick sections."""
    for index in range(count):
        rng = np.random.default_rng([SEED, index])
        options = random_options(rng)
        tissue = draw_tissue((512, 512), rng, make_widefield(options, rng) if widefield and index % 2 else options)
        labels = {"whole cell": tissue.whole_cell, "nuclei": tissue.nuclear}
        yield describe(tissue.image.astype(np.float32), labels)


def compare(drawn: pd.DataFrame, real: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate both.

    Parameters
    ----------
    drawn, real : DataFrame
        A column per figure; rows of ``drawn`` are fields, those of ``real`` medians of groups.

    Returns
    -------
    table : DataFrame of str
        A row per figure: the range of the drawn fields, and each group's value, in asterisks where it lies outside.
    rank : DataFrame of float
        Share of the drawn fields with a smaller value and half of those with the same, 0..1; NaN where a group has no
        such figure.
    """
    table, rank = pd.DataFrame(index=drawn.columns), pd.DataFrame(index=drawn.columns, dtype=float)
    low, high = drawn.quantile(LOW), drawn.quantile(HIGH)
    table["drawn tissue"] = [f"{low[name]:.3g} to {high[name]:.3g}" for name in drawn]
    for group, row in real.iterrows():
        cells = []
        for name in drawn:
            value = row.get(name, np.nan)
            known = drawn[name].dropna()
            place = np.nan if np.isnan(value) else ((known < value).mean() + (known <= value).mean()) / 2
            rank.loc[name, group] = place
            cells.append("" if np.isnan(value) else f"{value:.3g}" if LOW <= place <= HIGH else f"**{value:.3g}**")
        table[group] = cells
    return table, rank


def draw_picture(rank: pd.DataFrame, path: Path) -> None:
    """One line per figure: where the real images lie among the drawn ones."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "cellbatch", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 0.24 * len(rank) + 1.2), layout="constrained")
    axes.axvspan(100 * LOW, 100 * HIGH, color="#eeeeee")
    colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]
    for colour, group in zip(colours, rank, strict=False):
        axes.plot(100 * rank[group], np.arange(len(rank)), "o", color=colour, markersize=5, label=group)
    axes.set(yticks=np.arange(len(rank)), yticklabels=rank.index, xlim=(-3, 103))
    axes.set_xlabel("drawn fields with a smaller value (equal ones count half), %")
    axes.invert_yaxis()
    axes.grid(axis="y", linewidth=0.3)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, describe, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of real images with masks")
    parser.add_argument("--drawn", type=int, default=200, help="number of drawn fields")
    parser.add_argument("--plain", action="store_true", help="no field as a widefield microscope sees thick sections")
    parser.add_argument("--picture", type=Path, help="SVG to write")
    args = parser.parse_args(argv)
    drawn = pd.DataFrame(describe_drawn(args.drawn, not args.plain))
    groups, figures = zip(*describe_real(args.images), strict=True)
    real = pd.DataFrame(figures).groupby(list(groups), sort=False).median()
    table, rank = compare(drawn, real)
    sys.stdout.write("| figure | " + " | ".join(table) + " |\n" + "|---" * (len(table.columns) + 1) + "|\n")
    for name, row in table.iterrows():
        sys.stdout.write(f"| {name} | " + " | ".join(row) + " |\n")
    known = rank.notna().to_numpy()
    within = ((rank >= LOW) & (rank <= HIGH)).to_numpy()
    sys.stdout.write(f"\n{within.sum()} of {known.sum()} figures lie where nine tenths of the drawn fields lie\n")
    if args.picture:
        draw_picture(rank, args.picture)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
