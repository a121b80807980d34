"""The cells table against scikit-image's regionprops_table for the same columns, in turn.

``python benchmarks/bench_measure.py [--cells 50000] [--channels 20] [--share 10] [--repeats 3]``

Both run on one thread, and processor time is compared, which other work on the machine does not change. scikit-image
measures the first of ``share`` parts of the cells, because its time is per cell; ``--share 1`` measures all.
"""

import argparse
import statistics
import time

import numpy as np
from results import Results, add_csv_option
from skimage.measure import regionprops_table

from cellbatch.measurement.cells import measure_cells

SHAPES = ("label", "area", "centroid", "bbox", "axis_major_length", "axis_minor_length", "eccentricity", "orientation")
HULLS = ("solidity", "area_convex", "perimeter", "extent", "equivalent_diameter_area", "feret_diameter_max")
INTENSITIES = ("intensity_mean", "intensity_min", "intensity_max", "intensity_std")
PROPERTIES = (*SHAPES, *HULLS, *INTENSITIES)
PITCH = 22
COLUMNS = ("cells", "channels", "way", "measured_cells", "cpu_us_cell")


def median(region: np.ndarray, pixels: np.ndarray) -> float:
    """Median of a region's pixels."""
    return np.median(pixels[region])


def total(region: np.ndarray, pixels: np.ndarray) -> float:
    """Sum of a region's pixels."""
    return pixels[region].sum()


def draw_cells(count: int) -> np.ndarray:
    """Ellipses of about 250 px with ragged edges on a grid, labels 1 … count."""
    rng = np.random.default_rng(0)
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    y, x = np.mgrid[:PITCH, :PITCH] - (PITCH - 1) / 2
    labels = np.zeros((rows * PITCH, columns * PITCH), np.uint32)
    for place in range(count):
        angle, long, short = rng.uniform(0, np.pi), rng.uniform(8, 10.5), rng.uniform(6, 9)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        cell = (u / long) ** 2 + (v / short) ** 2 + rng.normal(0, 0.1, u.shape) < 1
        row, column = divmod(place, columns)
        labels[row * PITCH :, column * PITCH :][:PITCH, :PITCH][cell] = place + 1
    return labels


def main() -> None:
    """Print the times, their ratio, and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--channels", type=int, default=20)
    parser.add_argument("--share", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, COLUMNS)
    case = {"cells": options.cells, "channels": options.channels}
    labels = draw_cells(options.cells)
    channels = np.random.default_rng(1).integers(0, 50_000, (options.channels, *labels.shape)).astype(np.uint16)
    rows = -(-labels.shape[0] // PITCH // options.share) * PITCH
    part, pixels = labels[:rows].astype(np.int64), np.moveaxis(channels[:, :rows], 0, -1)
    part_cells = len(np.unique(part)) - 1
    names = [str(position) for position in range(options.channels)]
    ours, theirs = [], []
    for repeat in range(1, options.repeats + 1):
        start = time.process_time()
        table = measure_cells(labels, channels.__getitem__, names, 0.5)
        ours.append((time.process_time() - start) / options.cells)
        start = time.process_time()
        expected = regionprops_table(part, pixels, properties=PROPERTIES, extra_properties=(median, total))
        theirs.append((time.process_time() - start) / part_cells)
        results.add(repeat, **case, way="this project", measured_cells=options.cells, cpu_us_cell=ours[-1] * 1e6)
        results.add(repeat, **case, way="regionprops_table", measured_cells=part_cells, cpu_us_cell=theirs[-1] * 1e6)
        print(f"us per cell: cellbatch {ours[-1] * 1e6:.1f}, scikit-image {theirs[-1] * 1e6:.1f}", flush=True)
    checked = {"area": "area", "solidity": "solidity", "std_0": "intensity_std-0", "median_0": "median-0"}
    for name, reference in checked.items():
        np.testing.assert_allclose(table[name][:part_cells], expected[reference], rtol=1e-9)
    ratio = statistics.median(theirs) / statistics.median(ours)
    seconds = statistics.median(ours) * options.cells
    print(f"{options.cells} cells x {options.channels} channels: {seconds:.2f} s, {ratio:.0f} times faster (medians)")


if __name__ == "__main__":
    main()
