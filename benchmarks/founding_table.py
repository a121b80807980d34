"""15 images of 512² px: one pipeline run against a process per image that imports, loads and runs the same model.

    python benchmarks/founding_table.py --outdir founding --repeats 3

The two are run in turn; the medians and their ratio are printed, set-up and work apart.
"""

import argparse
import csv
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COUNT = 15
SIZE_PX = 512
ONE_IMAGE = """
import json, sys, time
start = time.perf_counter()
import numpy as np
from cellbatch.io.images import open_image
from cellbatch.io.labels import write_labels
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.segment_image import find_model, segment_loaded
loaded = LoadedModel(find_model("demo"), InferenceOptions())
loaded.warm_up()
setup = time.perf_counter() - start
with open_image(sys.argv[1]) as image:
    pixels = np.stack([image.read(0), image.read(1)], axis=-1)
for name, labels in segment_loaded(pixels, 0.5, loaded).items():
    write_labels(f"{sys.argv[2]}.{name}.ome.tif", labels, 0.5, name)
print(json.dumps({"setup": setup, "work": time.perf_counter() - start - setup}))
"""


def draw_images(folder: Path) -> list[Path]:
    """Draw tissue, the same at every call."""
    script = ROOT / "training" / "draw_tissue.py"
    sizes = ["--count", str(COUNT), "--size", str(SIZE_PX), "--seed", "15"]
    subprocess.run([sys.executable, str(script), "--outdir", str(folder), *sizes], check=True, capture_output=True)
    return sorted(folder.glob("*.ome.tif"))


def run_separately(images: list[Path], outdir: Path) -> dict[str, float]:
    """Start a process per image, one after the other; what they tell of set-up and work is added up."""
    outdir.mkdir(exist_ok=True)
    start, setup, work = time.perf_counter(), 0.0, 0.0
    for image in images:
        command = [sys.executable, "-c", ONE_IMAGE, str(image), str(outdir / image.name.split(".")[0])]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        setup, work = setup + told["setup"], work + told["work"]
    wall = time.perf_counter() - start
    return {"wall": wall, "set-up": wall - work, "work": work}


def run_pipeline(sheet: Path, outdir: Path) -> dict[str, float]:
    """One pipeline run; its work is what the timings of its phases say, all else is set-up."""
    shutil.rmtree(outdir, ignore_errors=True)
    command = ["nextflow", "run", str(ROOT / "main.nf"), "--input", str(sheet), "--outdir", str(outdir)]
    start = time.perf_counter()
    subprocess.run([*command, "-work-dir", str(outdir / "work")], check=True, capture_output=True)
    wall = time.perf_counter() - start
    with (outdir / "pipeline_info/timings.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    with (outdir / "pipeline_info/execution_trace.txt").open(encoding="utf-8") as table:
        tasks = {row["process"]: float(row["realtime"]) / 1000 for row in csv.DictReader(table, delimiter="\t")}
    work = sum(float(row["seconds"]) for row in rows if row["step"] not in ("load_model", "warm_up"))
    return {"wall": wall, "set-up": wall - work, "work": work, "inference task": tasks["INFER_TILES"]}


def main() -> None:
    """Run both in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    images = draw_images(options.outdir / "images")
    pipeline, separate = [], []
    for _ in range(options.repeats):
        pipeline.append(run_pipeline(options.outdir / "images/samplesheet.csv", options.outdir / "results"))
        separate.append(run_separately(images, options.outdir / "separate"))
    ours, theirs = (
        {name: statistics.median(run[name] for run in runs) for name in runs[0]} for runs in (pipeline, separate)
    )
    print(f"{COUNT} images of {SIZE_PX} x {SIZE_PX} px, median of {options.repeats}, seconds")
    print(f"{'':<16}{'pipeline':>10}{'separate':>10}{'ratio':>8}")
    for name in ("wall", "set-up", "work"):
        print(f"{name:<16}{ours[name]:>10.1f}{theirs[name]:>10.1f}{theirs[name] / ours[name]:>8.2f}")
    task = ours["inference task"]
    print(f"{'inference task':<16}{task:>10.1f}{theirs['wall']:>10.1f}{theirs['wall'] / task:>8.2f}")


if __name__ == "__main__":
    main()
