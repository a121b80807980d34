"""Time deep_watershed against deepcell-toolbox on the same maps in turn, and check that the labels are equal.

Usage: python benchmarks/bench_watershed.py [--reference-python PATH] [--sizes 1024 2048 4096] [--repeats 5]

The reference runs in an environment of its own: Python 3.10 with deepcell-toolbox 0.12.1, scikit-image 0.25.2 and NumPy
1.26. Without it only this project's times are printed.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from results import Results, add_csv_option
from scipy import ndimage

from cellbatch.postprocessing import deep_watershed

PROJECT = Path(__file__).resolve().parent.parent
MAXIMA_THRESHOLD = 0.075
THREADS = (1, 2)
TILE_PX = 500
COLUMNS = ("maps", "side_px", "way", "threads", "wall_ns_px", "cpu_ns_px", "is_equal", "memory_b_px")
TOOLBOX = "deepcell-toolbox 0.12.1"
OURS = "this project"

REFERENCE = """
import json, sys, time
import numpy as np
from deepcell_toolbox.deep_watershed import deep_watershed
folder, threshold = sys.argv[1], float(sys.argv[2])
maps = [np.load(f"{folder}/{name}.npy")[None, ..., None] for name in ("inner_distance", "interior")]
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    labels = deep_watershed(maps, radius=2, maxima_threshold=threshold, interior_threshold=0.2, maxima_smooth=0,
                            interior_smooth=2, small_objects_threshold=15, fill_holes_threshold=15)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    np.save(f"{folder}/labels.npy", labels[0, ..., 0])
    print(json.dumps([wall, cpu]), flush=True)
"""


def real_maps() -> Path:
    """Name the file with the maps of a real image, which need not be there."""
    shared = Path(os.environ.get("CELLBATCH_SHARED_DATA") or PROJECT.parent / "shared" / "data")
    return shared / "golden" / "mibi_tb_granuloma.npz"


def make_maps(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Tile the maps of a real image where the shared data lie; else draw cells."""
    case = real_maps()
    if case.exists():
        with np.load(case) as arrays:
            maps = [arrays[f"whole_cell_{head}"][:TILE_PX, :TILE_PX] for head in ("inner_distance", "interior")]
        count = -(-size // TILE_PX)
        inner_distance, interior = (np.tile(one, (count, count))[:size, :size] for one in maps)
    else:
        rng = np.random.default_rng(0)
        distance = ndimage.distance_transform_edt(rng.random((size, size)) > 0.003)
        inner_distance = 1 / (1 + 0.1 * distance + 0.01 * rng.random((size, size)))
        interior = 1 / (1 + np.exp(distance - 9 + rng.normal(0, 1, (size, size))))
    return np.ascontiguousarray(inner_distance, np.float32), np.ascontiguousarray(interior, np.float32)


def time_ours(maps: tuple[np.ndarray, np.ndarray], threads: int) -> tuple[np.ndarray, float, float]:
    """Labels, wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    labels = deep_watershed(*maps, maxima_threshold=MAXIMA_THRESHOLD, threads=threads)
    return labels, time.perf_counter() - wall, time.process_time() - cpu


def compare(size: int, repeats: int, reference_python: str | None, results: Results) -> bool:
    """Print one line per number of threads; whether the labels were equal."""

    def keep(repeat: int, way: str, threads: int, seconds: tuple[float, float], is_same: object = None) -> None:
        wall, cpu = (1e9 * one / size**2 for one in seconds)
        case = {
            "maps": "real" if real_maps().exists() else "drawn",
            "side_px": size,
            "way": way,
            "threads": threads,
            "is_equal": is_same,
        }
        results.add(repeat, **case, wall_ns_px=wall, cpu_ns_px=cpu)

    maps = make_maps(size)
    times: dict[object, list[tuple[float, float]]] = {key: [] for key in (*THREADS, "reference")}
    is_equal = True
    with tempfile.TemporaryDirectory() as folder:
        reference = None
        if reference_python:
            for name, values in zip(("inner_distance", "interior"), maps, strict=True):
                np.save(f"{folder}/{name}.npy", values)
            command = [reference_python, "-W", "ignore", "-c", REFERENCE, folder, str(MAXIMA_THRESHOLD)]
            reference = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for repeat in range(1, repeats + 1):
            for threads in THREADS:
                labels, wall, cpu = time_ours(maps, threads)
                times[threads].append((wall, cpu))
                keep(repeat, OURS, threads, (wall, cpu))
            if reference:
                reference.stdin.write("run\n")
                reference.stdin.flush()
                times["reference"].append(tuple(json.loads(reference.stdout.readline())))
                is_same = np.array_equal(np.load(f"{folder}/labels.npy"), labels)
                keep(repeat, TOOLBOX, 1, times["reference"][-1], is_same)
                is_equal &= is_same
        if reference:
            reference.stdin.close()
            reference.wait()
    pixels = size * size
    wall, cpu = (
        {key: statistics.median(one[which] for one in pairs) for key, pairs in times.items() if pairs}
        for which in (0, 1)
    )
    for threads in THREADS:
        line = (
            f"{size}x{size}, {threads} threads: {wall[threads] / pixels * 1e9:.1f} ns/px wall, "
            f"{cpu[threads] / pixels * 1e9:.1f} ns/px CPU"
        )
        if reference:
            line += (
                f"; reference {wall['reference'] / pixels * 1e9:.0f} ns/px wall, "
                f"{cpu['reference'] / pixels * 1e9:.0f} CPU; {wall['reference'] / wall[threads]:.0f} times as fast, "
                f"{cpu['reference'] / cpu[threads]:.0f} by CPU; labels {'equal' if is_equal else 'DIFFER'}"
            )
        print(line, flush=True)
    return is_equal


def measure_memory(size: int) -> float:
    """Bytes per pixel that one call takes on top of its inputs, in a process of its own."""
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[2]); import bench_watershed as b; size = int(sys.argv[1]);"
        "b.time_ours(b.make_maps(64), 1); maps = b.make_maps(size);"
        "before = b.peak_after_reset(); b.time_ours(maps, 1); print(b.peak_bytes() - before)"
    )
    command = [sys.executable, "-c", script, str(size), str(Path(__file__).parent)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / size**2


def peak_bytes() -> int:
    """Most memory that this process has held since the last reset."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_after_reset() -> int:
    """Forget the peak so far, where the system allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return peak_bytes()
    return peak_bytes()


def main() -> int:
    """Run all sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference-python")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--repeats", type=int, default=5)
    add_csv_option(parser)
    arguments = parser.parse_args()
    results = Results(arguments.csv, COLUMNS)
    answers = [compare(size, arguments.repeats, arguments.reference_python, results) for size in arguments.sizes]
    side, memory = arguments.sizes[-1], measure_memory(arguments.sizes[-1])
    results.add(maps="real" if real_maps().exists() else "drawn", side_px=side, way=OURS, threads=1, memory_b_px=memory)
    print(f"{memory:.1f} bytes per pixel beyond the inputs at {side} px")
    return 0 if all(answers) else 1


if __name__ == "__main__":
    sys.exit(main())
