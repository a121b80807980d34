"""Compare the native deep_watershed with the slow reference on random maps; print every seed that differs.

Usage: python benchmarks/fuzz_watershed.py --images 100000 --seed 0 [--longest 900] [--blocks]

Each image has random options and is labelled on 1, 2 and 4 threads; with --blocks also in blocks of 20 to 300 px.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cellbatch._native.watershed import KernelOptions, label_map
from cellbatch.postprocessing.blocks import BlockOptions, label_by_blocks
from cellbatch.spec import WatershedOptions
from tests.reference.maps import draw_case
from tests.reference.watershed import deep_watershed

THREADS = (1, 2, 4)


@dataclass(frozen=True)
class Ways:
    """How each image is labelled."""

    builds: tuple[str | None, ...]
    longest: int
    is_by_blocks: bool


@dataclass(frozen=True)
class Outcome:
    """Of one image; `undecided` pixels hung on ties in memory, `is_redone` says so of the blocks."""

    seed: int
    pixels: int
    differing: int
    undecided: int
    is_redone: bool


def compare(seed: int, ways: Ways) -> Outcome:
    """Label one image in all ways."""
    inner_distance, interior, options = draw_case(seed, ways.longest)
    expected = deep_watershed(inner_distance, interior, **options)
    maps = [np.ascontiguousarray(one, np.float32) for one in (inner_distance, interior)]
    differing = undecided = 0
    is_redone = False
    for build in ways.builds:
        for threads in THREADS:
            found, flooding = label_map(*maps, KernelOptions(**options, threads=threads, build=build))
            differing += int(np.count_nonzero(found != expected))
            undecided = max(undecided, flooding.undecided_px)
    if ways.is_by_blocks:
        rng = np.random.default_rng([seed, 1])
        blocks = BlockOptions(
            int(rng.integers(20, 301)), int(rng.choice([4, 8, 16, 32, 64])), threads=int(rng.integers(1, 3))
        )
        labels = np.zeros(expected.shape, np.uint32)
        report = label_by_blocks(inner_distance, interior, labels, WatershedOptions(**options), blocks)
        is_redone = report.is_redone
        differing += int(np.count_nonzero(labels != expected))
    return Outcome(seed, expected.size, differing, undecided, is_redone)


def main() -> int:
    """Compare images with the seeds `seed` … `seed + images - 1`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--builds", nargs="+", default=[None], help="plain, x86_64_v3; default: the one in use")
    parser.add_argument("--longest", type=int, default=900, help="longest side in px")
    parser.add_argument("--blocks", action="store_true", help="label in blocks, too")
    arguments = parser.parse_args()
    start, failures, pixels, tied, redone = time.monotonic(), [], 0, 0, 0
    seeds = range(arguments.seed, arguments.seed + arguments.images)
    work = partial(compare, ways=Ways(tuple(arguments.builds), arguments.longest, arguments.blocks))
    with ExitStack() as stack:
        outcomes: Iterable[Outcome] = map(work, seeds)
        if arguments.processes > 1:
            outcomes = stack.enter_context(ProcessPoolExecutor(arguments.processes)).map(work, seeds, chunksize=16)
        for done, outcome in enumerate(outcomes, start=1):
            pixels += outcome.pixels
            tied += outcome.undecided > 0
            redone += outcome.is_redone
            if outcome.differing:
                failures.append(outcome.seed)
                print(f"seed {outcome.seed}: {outcome.differing} px differ", flush=True)
            if done % 5000 == 0:
                print(f"{done} images, {time.monotonic() - start:.0f} s, {len(failures)} differ", flush=True)
    print(
        f"{len(seeds)} images (seeds {seeds.start} to {seeds.stop - 1}), {pixels / 1e6:.1f} Mpx: "
        f"{len(failures)} differ; "
        f"{tied} with undecided ties in memory, {redone} redone as a whole in blocks; {time.monotonic() - start:.0f} s"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
