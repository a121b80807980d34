r"""DeepCell's own path on growing images under a memory limit, and its post-processing on our heads, beside ours.

    python benchmarks/reference_sizes.py --outdir sizes --reference REFERENCE/bin/python --toolbox TOOLBOX/bin/python

REFERENCE is the environment of ``setup/create_reference.sh`` (DeepCell 0.12.10), TOOLBOX that of
``bench_watershed.py``. The images are the mosaics of ``equal_labels.py``; both sides run the demo network, DeepCell's
in Keras. Peaks are of resident memory; the fit is a power law through the two largest sizes.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from equal_labels import Case
from results import Results, add_csv_option

ROOT = Path(__file__).resolve().parents[1]
FAR_PX = 16384**2
COLUMNS = ("way", "side_px", "wall_ns_px", "cpu_ns_px", "peak_mb", "grown_mb", "objects", "is_equal")
# what every process tells of itself
TELL = """
def tell(run):
    before = peak()
    wall, cpu = time.perf_counter(), time.process_time()
    labels = run()
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu,
                      "before": before, "peak": peak(), "count": int(labels.max())}))
    return labels
def peak():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
"""
MESMER = (
    """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from pathlib import Path
import keras, numpy as np, tifffile
sys.path.insert(0, sys.argv[1])
from network import build_network, load_weights
from deepcell.applications import Mesmer
"""
    + TELL
    + """
network = build_network()
load_weights(network, Path(sys.argv[1]) / "demo.weights.npz")
image = keras.Input((256, 256, 2))
application = Mesmer(model=keras.Model(image, network(image)))
pixels = np.moveaxis(tifffile.imread(sys.argv[2]), 0, -1).astype(np.float32)[None]
tell(lambda: application.predict(pixels, image_mpp=0.5, compartment="both"))
"""
)
TOOLBOX = (
    """
import json, sys, time
import numpy as np
from deepcell_toolbox.deep_watershed import deep_watershed
"""
    + TELL
    + """
maps = [np.load(f"{sys.argv[1]}/{name}.npy")[None, ..., None] for name in ("inner_distance", "interior")]
labels = tell(lambda: deep_watershed(maps, **json.loads(sys.argv[2])))
np.save(f"{sys.argv[1]}/theirs.npy", labels[0, ..., 0])
"""
)
AT_ONCE = (
    """
import json, sys, time
import numpy as np
from cellbatch.postprocessing import deep_watershed
"""
    + TELL
    + """
maps = [np.load(f"{sys.argv[1]}/{name}.npy") for name in ("inner_distance", "interior")]
labels = tell(lambda: deep_watershed(*maps, threads=1, **json.loads(sys.argv[2])))
print("equal" if np.array_equal(labels, np.load(f"{sys.argv[1]}/theirs.npy")) else "DIFFERENT")
"""
)
BY_BLOCKS = (
    """
import json, sys, time
import numpy as np
from cellbatch.postprocessing.blocks import label_by_blocks
from cellbatch.spec import WatershedOptions
"""
    + TELL
    + """
maps = [np.load(f"{sys.argv[1]}/{name}.npy", mmap_mode="r") for name in ("inner_distance", "interior")]
labels = np.lib.format.open_memmap(f"{sys.argv[1]}/blocks.npy", "w+", np.uint32, maps[0].shape)
def run():
    label_by_blocks(*maps, labels, WatershedOptions(**json.loads(sys.argv[2])))
    return labels
tell(run)
print("equal" if np.array_equal(labels, np.load(f"{sys.argv[1]}/theirs.npy", mmap_mode="r")) else "DIFFERENT")
"""
)


def run(command: Sequence[str], limit_gb: float) -> dict | None:
    """Run a process and give what it tells; None where it ends in an error, as under the limit of its address space."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit_gb * 1e9),) * 2)

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    if done.returncode:
        print("   ended with:", (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200])
        return None
    lines = done.stdout.strip().splitlines()
    told = next(json.loads(line) for line in lines if line.startswith("{"))
    return told | {"is_equal": lines[-1] != "DIFFERENT"}


def show(results: Results, what: str, side: int, told: dict | None) -> None:
    """Print a row, and add it to the table."""
    if told:
        grown = told["peak"] - told["before"]
        per_px = {f"{name}_ns_px": told[name] / side**2 * 1e9 for name in ("wall", "cpu")}
        memory = {"peak_mb": told["peak"] / 1e6, "grown_mb": grown / 1e6}
        results.add(way=what, side_px=side, **per_px, **memory, objects=told["count"], is_equal=told["is_equal"])
        print(
            f"{what:<28}{side:>6}{told['wall']:>9.1f} s{told['wall'] / side**2 * 1e9:>9.0f} ns/px wall"
            f"{told['cpu'] / side**2 * 1e9:>9.0f} CPU{told['peak'] / 1e6:>8.0f} MB peak{grown / side**2:>7.1f} B/px"
            f"{told['count']:>8} objects{'' if told['is_equal'] else '  LABELS DIFFER'}",
            flush=True,
        )


def extrapolate(near: tuple[int, float, float], far: tuple[int, float, float]) -> tuple[float, float, float]:
    """Say from side, seconds and peak bytes of two sizes what 16384² px take: power of the pixels, seconds, bytes."""
    power = math.log(far[1] / near[1]) / math.log(far[0] ** 2 / near[0] ** 2)
    per_px = (far[2] - near[2]) / (far[0] ** 2 - near[0] ** 2)
    return power, far[1] * (FAR_PX / far[0] ** 2) ** power, far[2] + per_px * (FAR_PX - far[0] ** 2)


def fit(what: str, found: dict[int, dict | None]) -> None:
    """Print what the two largest sizes say of 16384² px."""
    known = [(side, told["wall"], told["peak"]) for side, told in sorted(found.items()) if told][-2:]
    if len(known) == 2:
        power, seconds, memory = extrapolate(*known)
        grows = f"{what}: time grows as px^{power:.2f}"
        print(f"{grows}; 16384² px would take {seconds / 60:.0f} min and {memory / 1e9:.0f} GB")


def run_ours(image: Path, outdir: Path, limit_gb: float) -> dict | None:
    """``cellbatch segment``, all results of it, from its start to its end."""
    code = (
        "import resource, json, subprocess, sys, time; start = time.perf_counter();"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "wall = time.perf_counter() - start; used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(json.dumps({'wall': wall, 'cpu': used.ru_utime + used.ru_stime, 'before': 0,"
        "'peak': used.ru_maxrss * 1024, 'count': 0}))"
    )
    command = [sys.executable, "-m", "cellbatch.commands.main", "segment", str(image)]
    command += ["--nuclear-channel", "0", "--membrane-channel", "1", "--image-mpp", "0.5", "--outdir", str(outdir)]
    return run([sys.executable, "-c", code, *command], limit_gb)


def main() -> None:
    """Run both paths, then post-processing alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--reference", required=True, help="Python with DeepCell")
    parser.add_argument("--toolbox", required=True, help="Python with deepcell-toolbox 0.12.1 and scikit-image 0.25.2")
    parser.add_argument("--sides", type=int, nargs="*", default=[1024, 2048, 4096], help="of DeepCell's own path")
    parser.add_argument("--postprocess", type=int, nargs="*", default=[2048, 4096, 8192], help="sides, on our heads")
    parser.add_argument("--limit_gb", type=float, default=20, help="address space of each process, in 10^9 bytes")
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, COLUMNS)
    outdir, theirs, alone = options.outdir.resolve(), {}, {}
    for side in options.sides:
        image = Case(outdir / str(side), "drawn", side).folder / "images/1/a.tif"
        command = [options.reference, "-c", MESMER, str(ROOT / "training"), str(image)]
        theirs[side] = run(command, options.limit_gb)
        show(results, "DeepCell, whole path", side, theirs[side])
        show(results, "ours, all results", side, run_ours(image, outdir / str(side) / "results", options.limit_gb))
    fit("DeepCell, whole path", theirs)
    is_equal = True
    for side in options.postprocess:
        case = Case(outdir / str(side), "drawn", side)
        for name, one in zip(("inner_distance", "interior"), case.maps(case.infer(1), "whole_cell"), strict=True):
            np.save(case.folder / f"{name}.npy", np.asarray(one[0:side, 0:side]))
        given = [str(case.folder), json.dumps(asdict(case.options["whole_cell"]))]
        alone[side] = run([options.toolbox, "-c", TOOLBOX, *given], options.limit_gb)
        show(results, "toolbox on our heads", side, alone[side])
        for what, code in (("ours at once", AT_ONCE), ("ours by blocks", BY_BLOCKS)) if alone[side] else ():
            told = run([sys.executable, "-c", code, *given], options.limit_gb)
            show(results, what, side, told)
            is_equal &= bool(told and told["is_equal"])
    fit("toolbox on our heads", alone)
    sys.exit(not is_equal)


if __name__ == "__main__":
    main()
