"""One run of the pipeline for a benchmark, with the times that it tells of itself."""

import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class PipelineRun:
    """What a run took.

    Attributes
    ----------
    started : Unix time in s at which it was started
    wall_s : from there to its end
    cpu_s : processor seconds of the engine and all tasks
    trace : of Nextflow, a row per task; the last name of ``process`` only, times in ms
    timings : ``timings.csv`` of the run, a row per step
    """

    started: float
    wall_s: float
    cpu_s: float
    trace: pd.DataFrame
    timings: pd.DataFrame


def draw_images(folder: Path, count: int, side_px: int) -> Path:
    """Draw tissue, the same at every call; its samplesheet."""
    script = ROOT / "training" / "draw_tissue.py"
    sizes = ["--count", str(count), "--size", str(side_px), "--seed", "15"]
    subprocess.run([sys.executable, str(script), "--outdir", str(folder), *sizes], check=True, capture_output=True)
    return folder / "samplesheet.csv"


def run_pipeline(sheet: Path, outdir: Path, *options: str) -> PipelineRun:
    """Run the pipeline on a samplesheet, in an empty folder."""
    shutil.rmtree(outdir, ignore_errors=True)
    outdir.mkdir(parents=True)
    command = ["nextflow", "-log", str(outdir / "nextflow.log"), "run", str(ROOT / "main.nf"), "--input", str(sheet)]
    command += ["--outdir", str(outdir), "-work-dir", str(outdir / "work"), "-ansi-log", "false", *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, clock = time.time(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall_s = time.perf_counter() - clock
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    trace = pd.read_csv(outdir / "pipeline_info" / "execution_trace.txt", sep="\t")
    trace["process"] = trace["process"].str.rpartition(":")[2]
    timings = pd.read_csv(outdir / "pipeline_info" / "timings.csv")
    return PipelineRun(started, wall_s, cpu_s, trace, timings)
