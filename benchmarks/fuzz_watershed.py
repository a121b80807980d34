"""Compare the native deep_watershed with the slow reference on random maps; print every seed that differs.

Usage: python benchmarks/fuzz_watershed.py --images 100000 --seed 0
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cellbatch._native.watershed import KernelOptions, label_map
from tests.reference.maps import draw_case
from tests.reference.watershed import deep_watershed

THREADS = (1, 2, 4)


def compare(seed: int, builds: tuple[str | None, ...]) -> tuple[int, int, int, int]:
    """Seed, pixels that differ over all builds and thread numbers, pixels, pixels undecided by the basin graph."""
    inner_distance, interior, options = draw_case(seed)
    expected = deep_watershed(inner_distance, interior, **options)
    maps = [np.ascontiguousarray(one, np.float32) for one in (inner_distance, interior)]
    differing = undecided = 0
    for build in builds:
        for threads in THREADS:
            found, flooding = label_map(*maps, KernelOptions(**options, threads=threads, build=build))
            differing += int(np.count_nonzero(found != expected))
            undecided = max(undecided, flooding.undecided_px)
    return seed, differing, expected.size, undecided


def main() -> int:
    """Compare images with the seeds `seed` … `seed + images - 1`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--builds", nargs="+", default=[None], help="plain, x86_64_v3; default: the one in use")
    arguments = parser.parse_args()
    start, failures, pixels, by_heap = time.monotonic(), [], 0, 0
    seeds = range(arguments.seed, arguments.seed + arguments.images)
    with ProcessPoolExecutor(arguments.processes) as pool:
        results = pool.map(partial(compare, builds=tuple(arguments.builds)), seeds, chunksize=16)
        for done, (seed, differing, size, undecided) in enumerate(results, start=1):
            pixels += size
            by_heap += undecided > 0
            if differing:
                failures.append(seed)
                print(f"seed {seed}: {differing} px differ", flush=True)
            if done % 5000 == 0:
                print(f"{done} images, {time.monotonic() - start:.0f} s, {len(failures)} differ", flush=True)
    print(
        f"{len(seeds)} images (seeds {seeds.start} to {seeds.stop - 1}), {pixels / 1e6:.1f} Mpx, "
        f"{by_heap} with undecided ties, {len(failures)} differ, {time.monotonic() - start:.0f} s"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
