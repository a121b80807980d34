"""Time and memory of labelling large images block by block.

Usage: python benchmarks/bench_blocks.py [--sizes 4096 16384] [--threads 1 2] [--core-px 1536]

The maps are made on demand from one small piece and the labels go to a file, so that the memory is the method's own.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_watershed import MAXIMA_THRESHOLD, TILE_PX, make_maps, peak_after_reset, peak_bytes

from cellbatch.postprocessing.blocks import BlockOptions, label_by_blocks
from cellbatch.spec import WatershedOptions


class TiledMap:
    """A map that repeats a piece, as large as wanted."""

    def __init__(self, piece: np.ndarray, size: int) -> None:
        self.shape = (size, size)
        self._piece = piece

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

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Labels of a rectangle."""
        rows, columns = key
        values = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.uint32)
        for i, row in enumerate(values):
            os.preadv(self._file, [row.data], self._offset(rows.start + i, columns.start))
        return values

    def __setitem__(self, key: tuple[slice, slice], values: np.ndarray) -> None:
        """Write a rectangle."""
        rows, columns = key
        for i, row in enumerate(np.ascontiguousarray(values)):
            os.pwrite(self._file, row.data, self._offset(rows.start + int(i), columns.start))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def measure(case: tuple[int, int, int]) -> str:
    """Label once: size in px, threads, core in px."""
    size, threads, core_px = case
    maps = [TiledMap(piece, size) for piece in make_maps(TILE_PX)]
    options = WatershedOptions(maxima_threshold=MAXIMA_THRESHOLD)
    with tempfile.TemporaryDirectory() as folder:
        labels = LabelFile(Path(folder) / "labels", size)
        before = peak_after_reset()
        wall, cpu = time.perf_counter(), time.process_time()
        report = label_by_blocks(*maps, labels, options, BlockOptions(core_px=core_px, threads=threads))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        count = int(labels[slice(size - 600, size), slice(0, size)].max())
        labels.close()
    return (
        f"{size}x{size}, {threads} threads: {wall / size**2 * 1e9:.1f} ns/px wall, "
        f"{cpu / size**2 * 1e9:.1f} ns/px CPU, "
        f"{(peak_bytes() - before) / 1e6:.0f} MB beyond the start, {report.blocks} blocks, {report.widened} widened, "
        f"{len(report.uncertified)} uncertified, some {count} cells"
    )


def main() -> int:
    """Run all sizes, each in a process of its own, whose memory starts anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--core-px", type=int, default=BlockOptions.core_px)
    arguments = parser.parse_args()
    cases = [(size, threads, arguments.core_px) for size in arguments.sizes for threads in arguments.threads]
    for case in cases:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.apply(measure, (case,)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
