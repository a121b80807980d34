r"""15 images of 512² px: one pipeline run against a process per image that imports, loads and runs the same model.

    python benchmarks/founding_table.py --outdir founding --repeats 3

The processes are our own; with a network of Mesmer's size and the reference environment they are DeepCell's:

    python benchmarks/reference_heads.py --reference reference --keep prepared
    python benchmarks/founding_table.py --outdir founding --model prepared/MultiplexSegmentation \
        --reference REFERENCE/bin/python --saved_model reference/MultiplexSegmentation

All are run in turn; medians and ratios are printed, set-up and work apart. Every run is a row of ``--csv``
(``runs.csv`` of the folder unless told otherwise): ``--only pipeline``, ``--only separate`` or ``--only load`` adds one
kind of them, for a machine that is quiet for minutes only, and ``--only none`` prints the table of what is there.
``--separate N`` starts a process for the first N images only and multiplies what they took.
"""

import argparse
import csv
import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from results import Results, add_csv_option

from cellbatch.io.models import MANIFEST_FILE

ROOT = Path(__file__).resolve().parents[1]
COUNT = 15
SIZE_PX = 512
TILES = 9
KINDS = ("pipeline", "separate", "load")
# what is compared, and what one kind of run or the other took
CASE = ("model", "phases", "peer")
TOOK = (
    *("wall_s", "processor_s", "set_up_s", "work_s", "network_s", "import_and_load_s"),
    *("task_s", "task_processor_s"),
)
COLUMNS = (*CASE, "kind", "started", "peer_version", *TOOK)
CPUS = 2
# runs a command and tells its wall and processor seconds, those of its children included
STOPWATCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
told = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE, text=True).stdout
wall = time.perf_counter() - start
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "told": told}))
"""
OURS = """
import json, sys, time
start = time.perf_counter()
import numpy as np
from cellbatch.io.images import open_image
from cellbatch.io.labels import write_labels
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.segment_image import find_model, segment_loaded
import onnxruntime
imported = time.perf_counter() - start
loaded = LoadedModel(find_model(sys.argv[1]), InferenceOptions(threads=int(sys.argv[4])))
load = time.perf_counter() - start - imported
loaded.warm_up()
setup = time.perf_counter() - start
with open_image(sys.argv[2]) as image:
    pixels = np.stack([image.read(0), image.read(1)], axis=-1)
for name, labels in segment_loaded(pixels, 0.5, loaded).items():
    write_labels(f"{sys.argv[3]}.{name}.ome.tif", labels, 0.5, name)
work = time.perf_counter() - start - setup
network = loaded.seconds.network
told = {"import": imported, "load": load, "set-up": setup, "work": work, "network": network}
print(json.dumps({**told, "version": ""}))
"""
DEEPCELL = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
start = time.perf_counter()
import numpy as np, tifffile, tensorflow as tf
from deepcell.applications import Mesmer
imported = time.perf_counter() - start
model = tf.keras.models.load_model(sys.argv[1], compile=False)
load = time.perf_counter() - start - imported
application = Mesmer(model=model)
network, run = [], model.predict
def timed(*values, **named):
    begun = time.perf_counter()
    try:
        return run(*values, **named)
    finally:
        network.append(time.perf_counter() - begun)
model.predict = timed
model.predict(np.zeros((4, 256, 256, 2), np.float32), batch_size=4)
network.clear()
setup = time.perf_counter() - start
image = np.moveaxis(tifffile.imread(sys.argv[2])[:2], 0, -1).astype(np.float32)
labels = application.predict(image[None], image_mpp=0.5, compartment="both")
tifffile.imwrite(sys.argv[3] + ".tif", labels[0].astype(np.uint32))
work = time.perf_counter() - start - setup
from importlib.metadata import version
told = {"import": imported, "load": load, "set-up": setup, "work": work, "network": sum(network)}
versions = f"DeepCell {version('deepcell')} on TensorFlow {tf.__version__}"
print(json.dumps({**told, "version": versions}))
"""


@dataclass(frozen=True)
class Setting:
    """What is compared: our model, and the process that is started once per image."""

    model: str
    single: tuple[str, ...]
    separate: int

    def timed(self, *command: str) -> dict:
        """Run a command and tell what it took."""
        result = subprocess.run(
            [sys.executable, "-c", STOPWATCH, *command], check=True, stdout=subprocess.PIPE, text=True
        )
        return json.loads(result.stdout.splitlines()[-1])


def draw_images(folder: Path) -> list[Path]:
    """Draw tissue, the same at every call."""
    script = ROOT / "training" / "draw_tissue.py"
    sizes = ["--count", str(COUNT), "--size", str(SIZE_PX), "--seed", "15"]
    subprocess.run([sys.executable, str(script), "--outdir", str(folder), *sizes], check=True, capture_output=True)
    return sorted(folder.glob("*.ome.tif"))


def run_separately(images: list[Path], outdir: Path, setting: Setting) -> dict[str, object]:
    """Start a process per image, one after the other; what they tell of set-up and work is added up."""
    outdir.mkdir(exist_ok=True)
    total: dict[str, float] = {}
    for image in images[: setting.separate]:
        run = setting.timed(*setting.single, str(image), str(outdir / image.name.split(".")[0]), str(CPUS))
        told = json.loads(run["told"].splitlines()[-1])
        found = {
            "wall_s": run["wall"],
            "processor_s": run["cpu"],
            "work_s": told["work"],
            "set_up_s": run["wall"] - told["work"],
        }
        found |= {"import_and_load_s": told["import"] + told["load"], "network_s": told["network"]}
        total = {name: total.get(name, 0.0) + value for name, value in found.items()}
    scaled = {name: value * COUNT / setting.separate for name, value in total.items()}
    return {**scaled, "started": setting.separate, "peer_version": told["version"]}


def run_pipeline(sheet: Path, outdir: Path, setting: Setting, phases: str) -> dict[str, float]:
    """One pipeline run; its work is what its timings say of the images, all else is set-up."""
    shutil.rmtree(outdir, ignore_errors=True)
    command = ["nextflow", "run", str(ROOT / "main.nf"), "--input", str(sheet), "--outdir", str(outdir)]
    command += ["--model", setting.model, "--phases", phases, "-work-dir", str(outdir / "work"), "-ansi-log", "false"]
    run = setting.timed(*command)
    with (outdir / "pipeline_info/timings.csv").open(encoding="utf-8") as table:
        rows = [(row["phase"], row["step"], float(row["seconds"])) for row in csv.DictReader(table)]
    with (outdir / "pipeline_info/execution_trace.txt").open(encoding="utf-8") as table:
        trace = list(csv.DictReader(table, delimiter="\t"))
    tasks = {row["process"].split(":")[-1]: row for row in trace}
    task = tasks["SEGMENT_BATCH" if phases == "fused" else "INFER_TILES"]
    setup = ("load_model", "warm_up")
    if phases == "fused":
        work = sum(seconds for _, step, seconds in rows if step == "overlapped")
    else:
        work = sum(seconds for _, step, seconds in rows if step not in setup)
    return {
        "wall_s": run["wall"],
        "processor_s": run["cpu"],
        "set_up_s": run["wall"] - work,
        "work_s": work,
        "network_s": sum(seconds for _, step, seconds in rows if step == "network"),
        "task_s": float(task["realtime"]) / 1000,
        "task_processor_s": float(task["realtime"]) / 1000 * float(task["%cpu"]) / 100,
    }


def time_load(image: Path, outdir: Path, setting: Setting) -> float:
    """Seconds in which our process imports everything and loads the model."""
    run = setting.timed(sys.executable, "-c", OURS, setting.model, str(image), str(outdir / "load"), str(CPUS))
    told = json.loads(run["told"].splitlines()[-1])
    return float(told["import"] + told["load"])


def print_table(ours: dict[str, float], theirs: dict[str, float], load_s: float, phases: str) -> None:
    """Print what one load for all saves."""
    task = "SEGMENT_BATCH" if phases == "fused" else "INFER_TILES"
    print(f"{'':<24}{'pipeline':>10}{'separate':>10}{'ratio':>8}")
    names = {"wall": "wall_s", "processor": "processor_s", "set-up": "set_up_s", "work": "work_s"}
    pairs = [(name, ours[column], theirs[column]) for name, column in names.items()]
    pairs += [(task, ours["task_s"], theirs["wall_s"])]
    pairs += [(f"{task}, processor", ours["task_processor_s"], theirs["processor_s"])]
    pairs += [("network per tile", *(run["network_s"] / COUNT / TILES for run in (ours, theirs)))]
    pairs += [("import and load, once", load_s, theirs["import_and_load_s"] / COUNT)]
    for name, one, other in pairs:
        print(f"{name:<24}{one:>10.2f}{other:>10.2f}{other / one:>8.2f}")
    if phases == "fused":
        print(f"inside the network      {ours['network_s'] / ours['work_s']:.1%} of the time of work")


def read_medians(path: Path, case: dict[str, str]) -> dict[str, dict[str, float]]:
    """Medians of the stored runs of a case by kind and column; ``runs`` is how many there are."""
    with path.open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table) if all(row[name] == value for name, value in case.items())]
    found = {}
    for kind in KINDS:
        runs = [row for row in rows if row["kind"] == kind]
        told = [name for name in TOOK if runs and runs[0][name]]
        found[kind] = {name: statistics.median(float(run[name]) for run in runs) for name in told}
        found[kind]["runs"] = len(runs)
    return found


def locate_model(name: str) -> str:
    """Whole path of a model's folder, as runs start elsewhere; the name of a model that ships stays one.

    A folder may have that name, as ``demo/`` has.
    """
    return str(Path(name).resolve()) if (Path(name) / MANIFEST_FILE).is_file() else name


def main() -> None:
    """Run both in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="demo", help="for the pipeline")
    parser.add_argument("--phases", choices=("split", "fused"), default="fused")
    parser.add_argument("--reference", help="Python with DeepCell; without it the processes are ours")
    parser.add_argument("--saved_model", help="for DeepCell, the same network")
    parser.add_argument("--separate", type=int, default=COUNT, help="processes that are started, one per image")
    parser.add_argument("--only", choices=(*KINDS, "none"), help="one kind of run")
    add_csv_option(parser)
    options = parser.parse_args()
    outdir = options.outdir.resolve()
    outdir.mkdir(parents=True, exist_ok=True)
    table = options.csv or outdir / "runs.csv"
    results = Results(table, COLUMNS, with_nextflow=True)
    images = draw_images(outdir / "images")
    model = locate_model(options.model)
    single = (sys.executable, "-c", OURS, model)
    if options.reference:
        single = (options.reference, "-c", DEEPCELL, options.saved_model)
    setting = Setting(model, single, options.separate)
    sheet = outdir / "images/samplesheet.csv"
    work = {
        "pipeline": lambda: run_pipeline(sheet, outdir / "results", setting, options.phases),
        "separate": lambda: run_separately(images, outdir / "separate", setting),
        "load": lambda: {"import_and_load_s": time_load(images[0], outdir, setting)},
    }
    case = {
        "model": Path(model).name,
        "phases": options.phases,
        "peer": "DeepCell" if options.reference else "cellbatch",
    }
    for repeat in range(1, options.repeats + 1):
        for kind in KINDS:
            if options.only in (None, kind):
                results.add(repeat, **case, kind=kind, **work[kind]())
    medians = read_medians(table, case)
    if not all(found["runs"] for found in medians.values()):
        return
    counts = ", ".join(f"{found['runs']} of {kind}" for kind, found in medians.items())
    print(f"{COUNT} images of {SIZE_PX} x {SIZE_PX} px, seconds, median of runs: {counts}")
    load_s = medians["load"]["import_and_load_s"]
    print_table(medians["pipeline"], medians["separate"], load_s, options.phases)


if __name__ == "__main__":
    main()
