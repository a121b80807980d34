"""From the command to the first tile: seconds until the plan, the task, the network and the first heads are there.

    python benchmarks/start_up.py --outdir start_up --repeats 3

One drawn image of one tile, with both ways of the pipeline and with ``cellbatch segment``, in turn.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from pipeline_run import PipelineRun, draw_images, run_pipeline
from results import Results, add_csv_option

TILE_PX = 256
MOMENTS = ("plan_done_s", "task_starts_s", "network_loaded_s", "first_tile_s", "end_s")
TASK = {"split": "INFER_TILES", "fused": "SEGMENT_BATCH"}
# the command line's own main, which also tells the timings that a run of the pipeline writes into a file
SEGMENT = """
import json, sys
import cellbatch.phases.segment_files as module
from cellbatch.commands.main import main
run = module.segment_batch
def kept(*values, **named):
    timings = run(*values, **named)
    print(json.dumps(timings.rows()))
    return timings
module.segment_batch = kept
sys.argv[0] = "cellbatch"
sys.exit(main())
"""


def find_moments(run: PipelineRun, task: str) -> dict[str, float]:
    """Seconds from a command to each of `MOMENTS` that its times tell of."""
    ends = run.timings.assign(end=run.timings["started"] + run.timings["seconds"]).groupby("step")["end"].min()
    found = {"network_loaded_s": ends["load_model"], "first_tile_s": ends["network"], "end_s": run.started + run.wall_s}
    if task:
        of = run.trace.set_index("process")
        found |= {"plan_done_s": of.at["PLAN_BATCHES", "complete"] / 1e3, "task_starts_s": of.at[task, "start"] / 1e3}
    return {name: float(found[name]) - run.started for name in MOMENTS if name in found}


def run_segment(image: Path, outdir: Path) -> PipelineRun:
    """Segment the image by the command line."""
    shutil.rmtree(outdir, ignore_errors=True)
    command = [sys.executable, "-c", SEGMENT, "segment", str(image), "--nuclear-channel", "0"]
    command += ["--membrane-channel", "1", "--image-mpp", "0.5", "--outdir", str(outdir)]
    started, clock = time.time(), time.perf_counter()
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    wall_s = time.perf_counter() - clock
    rows = next(json.loads(line) for line in told.splitlines() if line.startswith("["))
    return PipelineRun(started, wall_s, float("nan"), pd.DataFrame(), pd.DataFrame(rows))


def main() -> None:
    """Print the moments of each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, ("way", *MOMENTS), with_nextflow=True)
    outdir = options.outdir.resolve()
    sheet = draw_images(outdir / "images", 1, TILE_PX)
    image = next((outdir / "images").glob("*.ome.tif"))
    for repeat in range(1, options.repeats + 1):
        for phases, task in TASK.items():
            moments = find_moments(run_pipeline(sheet, outdir / "results", "--phases", phases), task)
            results.add(repeat, way=f"pipeline, {phases}", **moments)
            print(phases, {name: round(value, 2) for name, value in moments.items()}, flush=True)
        moments = find_moments(run_segment(image, outdir / "segmented"), "")
        results.add(repeat, way="cellbatch segment", **moments)
        print("segment", {name: round(value, 2) for name, value in moments.items()}, flush=True)


if __name__ == "__main__":
    main()
