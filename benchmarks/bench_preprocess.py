"""Time preprocessing against DeepCell's on the same image in turn, and check that the floats are equal.

Usage: python benchmarks/bench_preprocess.py [--reference-python PATH] [--sizes 1024 4096] [--repeats 5]

The reference environment is that of bench_watershed.py. Times are per pixel of an image with two channels.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from results import Results, add_csv_option

from cellbatch.preprocessing import preprocess
from cellbatch.preprocessing.statistics import bin_pixels, compute_statistics, equalize
from cellbatch.spec import PreprocessingOptions, Window

REFERENCE = """
import json, sys, time
import numpy as np
from deepcell_toolbox.processing import histogram_normalization, percentile_threshold
folder = sys.argv[1]
image = np.load(f"{folder}/image.npy")[None]
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    result = histogram_normalization(percentile_threshold(image, percentile=99.9), kernel_size=128)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    np.save(f"{folder}/result.npy", result[0])
    print(json.dumps([wall, cpu]), flush=True)
"""
TILE_PX = 256
COLUMNS = ("side_px", "way", "wall_ns_px", "cpu_ns_px", "is_equal")


def make_image(size: int) -> np.ndarray:
    """Two channels of heavy-tailed counts with a slow gradient."""
    rng = np.random.default_rng(0)
    gradient = np.linspace(0.2, 2, size, dtype=np.float32)[:, None, None]
    return (rng.gamma(0.7, 300, (size, size, 2)).astype(np.float32).round() * gradient).astype(np.float32)


def preprocess_by_tiles(image: np.ndarray) -> np.ndarray:
    """Statistics first, then every tile by itself from bytes."""
    statistics_of_image = compute_statistics(image, PreprocessingOptions())
    result = np.empty_like(image)
    height, width = image.shape[:2]
    for y in range(0, height, TILE_PX):
        for x in range(0, width, TILE_PX):
            window = Window(y, min(y + TILE_PX, height), x, min(x + TILE_PX, width))
            bins = bin_pixels(image[window.slices], statistics_of_image)
            result[window.slices] = equalize(bins, statistics_of_image, window)
    return result


WAYS = {"in memory": preprocess, "by tiles": preprocess_by_tiles}


def compare(size: int, repeats: int, reference_python: str | None, table: Results) -> bool:
    """Print a line per way; whether all results were equal."""
    image = make_image(size)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in (*WAYS, "reference")}
    is_equal = True
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/image.npy", image)
        reference = None
        if reference_python:
            command = [reference_python, "-W", "ignore", "-c", REFERENCE, folder]
            reference = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for repeat in range(1, repeats + 1):
            results = []
            for name, way in WAYS.items():
                wall, cpu = time.perf_counter(), time.process_time()
                results.append(way(image))
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
            if reference:
                reference.stdin.write("run\n")
                reference.stdin.flush()
                times["reference"].append(tuple(json.loads(reference.stdout.readline())))
                results.append(np.load(f"{folder}/result.npy"))
            is_same = all(np.array_equal(one, results[0]) for one in results)
            is_equal &= is_same
            for name in (name for name, pairs in times.items() if pairs):
                wall, cpu = (1e9 * one / size**2 for one in times[name][-1])
                table.add(repeat, side_px=size, way=name, wall_ns_px=wall, cpu_ns_px=cpu, is_equal=is_same)
        if reference:
            reference.stdin.close()
            reference.wait()
    medians = {
        name: [statistics.median(part) / size**2 * 1e9 for part in zip(*pairs, strict=True)]
        for name, pairs in times.items()
        if pairs
    }
    for name in WAYS:
        wall, cpu = medians[name]
        line = f"{size}x{size}, {name}: {wall:.1f} ns/px wall, {cpu:.1f} ns/px CPU"
        if reference:
            reference_wall, reference_cpu = medians["reference"]
            line += (
                f"; reference {reference_wall:.0f} wall, {reference_cpu:.0f} CPU; {reference_wall / wall:.1f} times as "
                f"fast, {reference_cpu / cpu:.1f} by CPU; floats {'equal' if is_equal else 'DIFFER'}"
            )
        print(line, flush=True)
    return is_equal


def main() -> int:
    """Run all sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference-python")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--repeats", type=int, default=5)
    add_csv_option(parser)
    arguments = parser.parse_args()
    table = Results(arguments.csv, COLUMNS)
    answers = [compare(size, arguments.repeats, arguments.reference_python, table) for size in arguments.sizes]
    return 0 if all(answers) else 1


if __name__ == "__main__":
    sys.exit(main())
