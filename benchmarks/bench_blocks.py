"""Time and memory of labelling large images block by block, beside labelling one in memory.

Usage: python benchmarks/bench_blocks.py [--sizes 4096 16384] [--threads 1 2] [--core-px 1536] [--in-turn 4096 8192]

The maps are made on demand from one small piece and the labels go to a file, so that the memory is the method's own;
the processor time of both is told apart from that of the labelling.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_watershed import MAXIMA_THRESHOLD, TILE_PX, make_maps, peak_after_reset, peak_bytes
from results import Results, add_csv_option

from cellbatch.postprocessing import deep_watershed
from cellbatch.postprocessing.blocks import BlockOptions, label_by_blocks
from cellbatch.spec import WatershedOptions

PAIRS = 15
COLUMNS = ("side_px", "way", "threads", "wall_ns_px", "cpu_ns_px", "own_cpu_ns_px", "peak_mb", "blocks", "widened")
SPENT_S = [0.0]
SPENT_LOCK = threading.Lock()


def count_time(access: Callable[..., Any]) -> Callable[..., Any]:
    """Add the processor time of a thread inside a function to what was spent outside the method."""

    def timed(*arguments: Any) -> Any:
        start = time.thread_time()
        try:
            return access(*arguments)
        finally:
            spent = time.thread_time() - start
            with SPENT_LOCK:
                SPENT_S[0] += spent

    return timed


class TiledMap:
    """A map that repeats a piece, as large as wanted."""

    def __init__(self, piece: np.ndarray, size: int) -> None:
        self.shape = (size, size)
        self._piece = piece

    @count_time
    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Pixels of a rectangle."""
        rows, columns = (np.arange(part.start, part.stop) % TILE_PX for part in key)
        return self._piece.take(rows, axis=0).take(columns, axis=1)


class LabelFile:
    """Labels in a plain file, read and written row by row."""

    dtype = np.dtype(np.uint32)

    def __init__(self, path: Path, size: int) -> None:
        self.shape = (size, size)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.truncate(self._file, size * size * 4)

    def _offset(self, y: int, x: int) -> int:
        return (y * self.shape[1] + x) * 4

    @count_time
    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Labels of a rectangle."""
        rows, columns = key
        values = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.uint32)
        for i, row in enumerate(values):
            os.preadv(self._file, [row.data], self._offset(rows.start + i, columns.start))
        return values

    @count_time
    def __setitem__(self, key: tuple[slice, slice], values: np.ndarray) -> None:
        """Write a rectangle."""
        rows, columns = key
        for i, row in enumerate(np.ascontiguousarray(values)):
            os.pwrite(self._file, row.data, self._offset(rows.start + int(i), columns.start))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def measure(case: tuple[int, int, int]) -> tuple[str, list[dict[str, object]]]:
    """Label once: size in px, threads, core in px. Gives a line, and rows of the table."""
    size, threads, core_px = case
    maps = [TiledMap(piece, size) for piece in make_maps(TILE_PX)]
    options = WatershedOptions(maxima_threshold=MAXIMA_THRESHOLD)
    with tempfile.TemporaryDirectory() as folder:
        labels = LabelFile(Path(folder) / "labels", size)
        before = peak_after_reset()
        SPENT_S[0] = 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        report = label_by_blocks(*maps, labels, options, BlockOptions(core_px=core_px, threads=threads))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        outside = SPENT_S[0]
        count = int(labels[slice(size - 600, size), slice(0, size)].max())
        labels.close()
    wall_ns, cpu_ns, own_ns = (1e9 * one / size**2 for one in (wall, cpu, cpu - outside))
    peak_mb = (peak_bytes() - before) / 1e6
    row = {"repeat": 1, "side_px": size, "way": "by blocks", "threads": threads, "wall_ns_px": wall_ns}
    row |= {"cpu_ns_px": cpu_ns, "own_cpu_ns_px": own_ns, "peak_mb": peak_mb}
    row |= {"blocks": report.blocks, "widened": report.widened}
    line = (
        f"{size}x{size}, {threads} threads: {wall_ns:.1f} ns/px wall, "
        f"{cpu_ns:.1f} ns/px CPU, {own_ns:.1f} without maps and file, "
        f"{peak_mb:.0f} MB beyond the start, {report.blocks} blocks, {report.widened} widened, "
        f"{len(report.uncertified)} uncertified, some {count} cells"
    )
    return line, [row]


def compare_in_turn(case: tuple[int, int]) -> tuple[str, list[dict[str, object]]]:
    """Label by blocks and in memory in turn, one thread each: side in px, core in px. Gives as `measure`."""
    size, core_px = case
    maps = [TiledMap(piece, size) for piece in make_maps(TILE_PX)]
    held = [one[slice(0, size), slice(0, size)] for one in maps]
    options = WatershedOptions(maxima_threshold=MAXIMA_THRESHOLD)
    pairs = []
    for _ in range(PAIRS):
        cpu = time.process_time()
        deep_watershed(*held, maxima_threshold=MAXIMA_THRESHOLD, threads=1)
        in_memory = time.process_time() - cpu
        with tempfile.TemporaryDirectory() as folder:
            labels = LabelFile(Path(folder) / "labels", size)
            SPENT_S[0] = 0.0
            cpu = time.process_time()
            label_by_blocks(*maps, labels, options, BlockOptions(core_px=core_px))
            pairs.append((in_memory, time.process_time() - cpu - SPENT_S[0]))
            labels.close()
    ways = ("in memory, in turn", "by blocks, in turn")
    rows = [
        {"repeat": at, "side_px": size, "way": way, "threads": 1, "own_cpu_ns_px": 1e9 * one / size**2}
        for at, pair in enumerate(pairs, start=1)
        for way, one in zip(ways, pair, strict=True)
    ]
    in_memory, by_blocks = (statistics.median(one) / size**2 * 1e9 for one in zip(*pairs, strict=True))
    ratio = statistics.median(own / whole for whole, own in pairs)
    line = (
        f"{size}x{size}, 1 thread, {PAIRS} in turn: in memory {in_memory:.1f} ns/px CPU, by blocks {by_blocks:.1f} "
        f"without maps and file, ratio {ratio:.2f}"
    )
    return line, rows


def main() -> int:
    """Run all sizes, each in a process of its own, whose memory starts anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--core-px", type=int, default=BlockOptions.core_px)
    parser.add_argument("--in-turn", type=int, nargs="*", default=[4096, 8192], help="sides at which both are compared")
    add_csv_option(parser)
    arguments = parser.parse_args()
    results = Results(arguments.csv, COLUMNS)
    cases = [(size, threads, arguments.core_px) for size in arguments.sizes for threads in arguments.threads]
    spawn = multiprocessing.get_context("spawn")
    work = [(measure, case) for case in cases]
    work += [(compare_in_turn, (size, arguments.core_px)) for size in arguments.in_turn]
    for function, case in work:
        with spawn.Pool(1) as pool:
            line, rows = pool.apply(function, (case,))
        print(line, flush=True)
        for row in rows:
            results.add(**row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
