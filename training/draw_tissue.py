"""Draw tissue images with known truth: nuclear and membrane channel at 0.5 µm/px, whole-cell and nuclear labels.

Run as ``python training/draw_tissue.py --outdir DIR --count 3 --size 512 --seed 1``; it writes OME-TIFF images, their
truth and a samplesheet. Needs NumPy, SciPy, scikit-image and tifffile only.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage.segmentation import relabel_sequential
from tissue_options import TISSUE_MPP, TissueOptions, random_options
from tissue_shapes import LabelImage, draw_shapes
from tissue_signal import draw_marker_signal, draw_nuclear_signal, hide_bare_cells, record

COLUMNS = ("sample", "image", "nuclear_channel", "membrane_channel")


@dataclass(frozen=True)
class Tissue:
    """A drawn image ``(Y, X, 2)`` uint16 and its truth, ``(Y, X)`` uint32 labels 1…n."""

    image: NDArray[np.uint16]
    whole_cell: LabelImage
    nuclear: LabelImage


def draw_tissue(shape: tuple[int, int], rng: np.random.Generator, options: TissueOptions | None = None) -> Tissue:
    """Draw one image of tissue.

    Parameters
    ----------
    shape : (Y, X)
        Size in px of 0.5 µm, 32 or more per axis.
    rng : numpy.random.Generator
        Source of all choices; the same state and options give the same image.
    options : TissueOptions, optional
        The recipe; a random one by default.

    Returns
    -------
    Tissue
        Image with channels nuclear, membrane; whole-cell labels of what can be seen of each cell; nuclear labels.

    Raises
    ------
    ValueError
        If the shape is too small.
    """
    if len(shape) != 2 or min(shape) < 32:
        raise ValueError(f"cannot draw tissue of shape {shape}, expected (Y, X) of 32 px or more")
    recipe = random_options(rng) if options is None else options
    cells, nuclei, thickness = draw_shapes(shape, rng, recipe)
    cells, brightness = hide_bare_cells(cells, nuclei, rng, recipe)
    nuclei = np.where(cells > 0, nuclei, 0).astype(np.uint32)
    nuclear = draw_nuclear_signal(nuclei, thickness, rng, recipe)
    marker = draw_marker_signal(cells, nuclei, brightness, rng, recipe)
    image = record(np.stack([nuclear, marker], axis=-1), rng, recipe)
    if recipe.marker == "absent" and rng.random() < 0.5:
        image[..., 1] = 0
    return Tissue(image, _renumber(cells), _renumber(nuclei))


def write_tissue(outdir: Path, count: int, size_px: int, seed: int) -> Path:
    """Draw images and write them with truth and samplesheet.

    Parameters
    ----------
    outdir : path
        Folder to fill: ``<name>.ome.tif``, ``truth/<name>.whole_cell.tif``, ``truth/<name>.nuclear.tif`` and
        ``samplesheet.csv`` with paths relative to itself.
    count : int
        Number of images.
    size_px : int
        Height and width.
    seed : int
        Every image has its own stream of random numbers, so that the first ones do not depend on the count.

    Returns
    -------
    path
        The samplesheet.
    """
    (outdir / "truth").mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        tissue = draw_tissue((size_px, size_px), np.random.default_rng([seed, index]))
        name = f"tissue_{index + 1:02d}"
        tifffile.imwrite(
            outdir / f"{name}.ome.tif",
            np.moveaxis(tissue.image, -1, 0),
            photometric="minisblack",
            compression="zlib",
            metadata={
                "axes": "CYX",
                "Channel": {"Name": ["nuclear", "membrane"]},
                "PhysicalSizeX": TISSUE_MPP,
                "PhysicalSizeXUnit": "µm",
                "PhysicalSizeY": TISSUE_MPP,
                "PhysicalSizeYUnit": "µm",
            },
        )
        for kind, labels in (("whole_cell", tissue.whole_cell), ("nuclear", tissue.nuclear)):
            tifffile.imwrite(outdir / "truth" / f"{name}.{kind}.tif", labels, compression="zlib")
        rows.append((name, f"{name}.ome.tif", "nuclear", "membrane"))
    samplesheet = outdir / "samplesheet.csv"
    with samplesheet.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return samplesheet


def _renumber(labels: LabelImage) -> LabelImage:
    """Labels 1…n without gaps."""
    return np.asarray(relabel_sequential(labels)[0], np.uint32)


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description="Draw tissue images with known truth.")
    parser.add_argument("--outdir", type=Path, required=True, help="folder to fill")
    parser.add_argument("--count", type=int, default=3, help="number of images")
    parser.add_argument("--size", type=int, default=512, help="height and width in px of 0.5 µm")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices")
    args = parser.parse_args(argv)
    samplesheet = write_tissue(args.outdir, args.count, args.size, args.seed)
    sys.stdout.write(f"{samplesheet}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
