"""Peak memory and processor time per pixel of every phase, from small images to slides.

python benchmarks/any_size.py --outdir any_size --sides 4096,8192,16384
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cellbatch.io.model_sources import describe_source
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.plan_batches import plan_batches
from cellbatch.phases.prepare_model import prepare_model
from cellbatch.phases.records import encode_record

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20
PHASES = ("preprocess", "infer", "postprocess", "measure")


@dataclass(frozen=True)
class Use:
    """What one task took."""

    peak_mb: float
    cpu_s: float
    wall_s: float


def run_task(script: str, *arguments: object) -> Use:
    """Run a script of bin/ alone."""
    clock = time.perf_counter()
    process = subprocess.Popen([sys.executable, str(ROOT / "bin" / f"{script}.py"), *map(str, arguments)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{script} failed with exit code {process.returncode}")
    return Use(usage.ru_maxrss * 1024 / MIB, usage.ru_utime + usage.ru_stime, time.perf_counter() - clock)


class Run:
    """The phases of one slide, one task after the other.

    Parameters
    ----------
    folder : where all files go; a slide that lies there already is used again
    shape, channels : of the slide, (Y, X)
    """

    def __init__(self, folder: Path, shape: tuple[int, int], channels: int) -> None:
        self.folder = folder
        self.images = folder / "images"
        slide = self.images / "1" / "slide.ome.tif"
        slide.parent.mkdir(parents=True, exist_ok=True)
        if not slide.exists():
            # in a process of its own: a child's peak counts what its parent held when it was started
            size = ["--height", str(shape[0]), "--side", str(shape[1]), "--channels", str(channels)]
            maker = ROOT / "benchmarks" / "make_slide.py"
            subprocess.run([sys.executable, str(maker), str(slide), *size], check=True, stdout=sys.stderr)
        sheet = folder / "sheet.csv"
        sheet.write_text("sample,image,nuclear_channel,membrane_channel\nslide,s.tif,DAPI,CD45\n", encoding="utf-8")
        staged = [{"files": [{"column": "image", "path": "s.tif", "state": "staged", "position": 1}]}]
        self.model = folder / "model"
        if not self.model.exists():
            prepare_model(describe_source(find_model("demo")), self.model)
        self.batch = plan_batches(sheet, staged, self.images, describe_source(self.model), {})[0][0]
        for name in ("record", "measured"):
            (folder / f"{name}.json").write_text(encode_record(self.batch[name]), encoding="utf-8")

    def run(self, phase: str, processes: int) -> list[Use]:
        """Run the tasks of one phase."""
        folder, meta = self.folder, self.batch["meta"]
        record = ["--batch", folder / ("measured.json" if phase == "measure" else "record.json")]
        times = ["--timings", folder / "timings.csv"]
        pixels, labels = folder / "b.pixels.zip", folder / "b.labels.zip"
        heads = [folder / f"b.{shard}.heads.zip" for shard in range(meta["shards"])]
        if phase == "preprocess":
            files = ["--images", self.images, "--model", self.model, "--output", pixels]
            return [run_task("preprocess_images", *record, *times, *files, "--processes", processes)]
        if phase == "infer":
            files = ["--pixels", pixels, "--model", self.model, "--threads", processes]
            size = ["--shard_pixels", meta["shard_pixels"]]
            return [
                run_task("infer_tiles", *times, *files, *size, "--shard", shard, "--output", path)
                for shard, path in enumerate(heads)
            ]
        if phase == "postprocess":
            files = ["--heads", *heads, "--model", self.model, "--outdir", folder / "labels", "--handoff", labels]
            return [run_task("postprocess_labels", *record, *times, *files, "--processes", processes)]
        files = ["--images", self.images, "--labels", labels, "--summary", folder / "summary.parquet"]
        outputs = ["--cells", folder / "cells", "--overlays", folder / "qc", "--processes", processes]
        return [run_task("measure_cells", *record, *times, *files, *outputs)]


def main() -> None:
    """Print a row per side and phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--sides", default="4096,8192")
    parser.add_argument("--height", type=int, help="height of every slide; its side by default")
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(f"{'side_px':>8} {'phase':<12}{'tasks':>6}{'peak_mb':>9}{'projected':>10}{'cpu_ns_px':>11}{'wall_s':>9}")
    for side in map(int, options.sides.split(",")):
        shape = (options.height or side, side)
        run = Run(options.outdir / "x".join(map(str, shape)), shape, options.channels)
        for phase in options.phases.split(","):
            uses = run.run(phase, options.processes)
            peak = max(use.peak_mb for use in uses)
            cpu = sum(use.cpu_s for use in uses) * 1e9 / (shape[0] * shape[1])
            wall, projected = sum(use.wall_s for use in uses), run.batch["meta"]["memory"][phase]
            print(
                f"{side:>8} {phase:<12}{len(uses):>6}{peak:>9.0f}{projected:>10.0f}{cpu:>11.1f}{wall:>9.1f}", flush=True
            )


if __name__ == "__main__":
    main()
