"""Functions of other tools that need no weights beside ours, on the same arrays, in turn, one thread each.

    python -m venv peers; peers/bin/pip install scikit-image scipy dask-image stardist cellpose
    python benchmarks/peers.py --peers peers/bin/python --sides 1024 2048

A peer that cannot be imported is named and left out. Where the result is not the same, the column ``same`` says what
the peer does not do: its time is then that of a part of what ours does. Ours are the whole post-processing, from a
network's maps to labels, and the whole table of cells.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from bench_watershed import MAXIMA_THRESHOLD, make_maps
from results import ROOT, Results, add_csv_option

sys.path.insert(0, str(ROOT))

from cellbatch.measurement.cells import measure_cells
from cellbatch.postprocessing import deep_watershed
from cellbatch.postprocessing.blocks import label_by_blocks
from cellbatch.spec import WatershedOptions
from tests.reference.watershed import deep_watershed as building_blocks

COLUMNS = ("task", "side_px", "way", "is_ours", "same", "wall_ns_px", "cpu_ns_px")
CHANNELS, CHUNK_PX = 2, 512
# runs one expression per line of its input, and tells the seconds of wall and processor
PEER = """
import importlib.metadata, json, os, sys, time
import numpy as np
folder, chunk_px, distribution, statement, expression = sys.argv[1:]
arrays = {name: np.load(f"{folder}/{name}.npy") for name in ("labels", "holed", "interior", "channels")}
names = {**arrays, "np": np, "chunks": (int(chunk_px), int(chunk_px))}
exec(statement, names)
code = compile(expression, distribution, "eval")
print(json.dumps(distribution + " " + importlib.metadata.version(distribution)), flush=True)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    eval(code, names)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
"""


@dataclass(frozen=True)
class Peer:
    """A function of another tool: distribution, import, call, and what its result is beside ours."""

    task: str
    distribution: str
    statement: str
    expression: str
    same: str


LABELS, CELLS = "labels from maps", "table of cells"
DASK = "import dask, dask.array as da; from dask_image import ndmeasure; dask.config.set(scheduler='synchronous')"
PEERS = (
    Peer(
        *(LABELS, "stardist", "from stardist.utils import fill_label_holes", "fill_label_holes(holed)"),
        "fills the holes of labels only",
    ),
    Peer(
        *(LABELS, "cellpose", "from cellpose.utils import fill_holes_and_remove_small_masks as clean"),
        *("clean(holed.copy(), min_size=15)", "fills holes and drops small labels only"),
    ),
    Peer(
        *(LABELS, "dask-image", DASK, "ndmeasure.label(da.from_array(interior > 0.3, chunks=chunks))[0].compute()"),
        "joins connected pixels across chunks only, cells that touch stay one",
    ),
    Peer(
        *(LABELS, "scikit-image", "from skimage.measure import label", "label(interior > 0.3, connectivity=1)"),
        "joins connected pixels only, cells that touch stay one",
    ),
    Peer(
        *(CELLS, "dask-image", DASK + "; lab = da.from_array(labels, chunks=chunks)"),
        # it goes through the whole image for every cell
        "[ndmeasure.mean(da.from_array(one, chunks=chunks), lab, np.arange(1, 11)).compute() for one in channels]",
        "the mean of ten cells only",
    ),
    Peer(
        *(CELLS, "scikit-image", "from skimage.measure import regionprops_table as table"),
        "table(labels, np.moveaxis(channels, 0, -1), properties=('area', 'centroid', 'intensity_mean'))",
        "area, centroid and mean only",
    ),
)


class Child:
    """A peer's function in a process of its own environment; ``version`` is None where it cannot be imported."""

    def __init__(self, python: str, folder: str, peer: Peer) -> None:
        self.peer = peer
        task = [folder, str(CHUNK_PX), peer.distribution, peer.statement, peer.expression]
        command = [python, "-W", "ignore", "-c", PEER, *task]
        alone = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
        # the peer's own packages, not those of this process
        alone.pop("PYTHONPATH", None)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(command, **pipes, env=alone, text=True)
        told = self._process.stdout.readline()
        self.version = json.loads(told) if told else None
        if not told:
            lines = self._process.stderr.read().strip().splitlines()
            print(f"{peer.distribution} is left out: {(lines or ['no message'])[-1]}", flush=True)

    def run(self) -> tuple[float, float]:
        """Call the function once; seconds of wall and processor."""
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        wall, cpu = json.loads(self._process.stdout.readline())
        return wall, cpu

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def punch_holes(labels: np.ndarray) -> np.ndarray:
    """Take a pixel in a hundred out of the labels, int32."""
    rng = np.random.default_rng(0)
    return np.where(rng.random(labels.shape) < 0.01, 0, labels).astype(np.int32)


def time_call(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall and processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def our_ways(side: int, folder: str) -> dict[tuple[str, str, str], Callable[[], object]]:
    """Functions by task, name and what their result is; writes the arrays for the peers."""
    inner_distance, interior = make_maps(side)
    given = {"maxima_threshold": MAXIMA_THRESHOLD}
    labels = deep_watershed(inner_distance, interior, threads=1, **given)
    channels = np.random.default_rng(1).integers(0, 50_000, (CHANNELS, side, side)).astype(np.uint16)
    blocks, options = np.zeros_like(labels), WatershedOptions(**given)
    reference = building_blocks(inner_distance, interior, **given)
    arrays = {"labels": labels.astype(np.int32), "holed": punch_holes(labels)}
    for name, values in {**arrays, "interior": interior, "channels": channels}.items():
        np.save(f"{folder}/{name}.npy", values)
    names = [str(position) for position in range(CHANNELS)]
    label_by_blocks(inner_distance, interior, blocks, options)
    same, same_by_blocks = (
        "the same labels" if np.array_equal(found, labels) else "OTHER LABELS" for found in (reference, blocks)
    )
    return {
        (LABELS, "this project", ""): lambda: deep_watershed(inner_distance, interior, threads=1, **given),
        (LABELS, "this project, by blocks", same_by_blocks): lambda: label_by_blocks(
            inner_distance, interior, blocks, options
        ),
        (LABELS, "SciPy's and scikit-image's building blocks", same): lambda: building_blocks(
            inner_distance, interior, **given
        ),
        (CELLS, "this project", "all columns"): lambda: measure_cells(labels, channels.__getitem__, names, 0.5),
    }


def main() -> None:
    """Print a line per way and repeat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="Python of an environment with the other tools")
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--repeats", type=int, default=3)
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, COLUMNS)
    for side in options.sides:
        with tempfile.TemporaryDirectory() as folder:
            ways = our_ways(side, folder)
            children = [Child(options.peers, folder, peer) for peer in PEERS]
            for child in (child for child in children if child.version):
                # what is compiled or imported at the first call is not counted
                child.run()
                ways[child.peer.task, child.version, child.peer.same] = child.run
            for repeat in range(1, options.repeats + 1):
                for (task, way, same), function in ways.items():
                    is_child = way in [child.version for child in children]
                    wall, cpu = (1e9 * one / side**2 for one in (function() if is_child else time_call(function)))
                    print(f"{task:<18}{way:<46}{side:>6}{wall:>10.1f} ns/px wall{cpu:>10.1f} CPU", flush=True)
                    case = {"task": task, "side_px": side, "way": way, "same": same}
                    results.add(repeat, **case, is_ours=way == "this project", wall_ns_px=wall, cpu_ns_px=cpu)
            for child in children:
                child.close()


if __name__ == "__main__":
    main()
