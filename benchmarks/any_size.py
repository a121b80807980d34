"""Peak memory and processor time per pixel of every phase, from small images to slides, beside what the plan promises.

python benchmarks/any_size.py --outdir any_size --shapes 4096x4096,1024x8192

Ends with exit code 1 if a task took more than was asked for it, or if more was asked for than 1.5 times what it took
and 200 MB.
"""

import argparse
import importlib
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


class Tasks:
    """Runs scripts of bin/, each in a process of its own.

    Parameters
    ----------
    is_forked : start it with the libraries loaded, which saves its start and counts all of them as its memory
    """

    def __init__(self, is_forked: bool) -> None:
        self._is_forked = is_forked
        for phase in ("preprocess_images", "infer_tiles", "postprocess_labels", "measure_cells") if is_forked else ():
            importlib.import_module(f"cellbatch.phases.{phase}")

    def run(self, script: str, *arguments: object) -> Use:
        """Run one to its end."""
        clock = time.perf_counter()
        path = ROOT / "bin" / f"{script}.py"
        process = os.fork() if self._is_forked else subprocess.Popen([sys.executable, path, *map(str, arguments)]).pid
        if not process:
            self._become(path, *map(str, arguments))
        _, status, usage = os.wait4(process, 0)
        if os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{script} failed with exit code {os.waitstatus_to_exitcode(status)}")
        return Use(usage.ru_maxrss * 1024 / MIB, usage.ru_utime + usage.ru_stime, time.perf_counter() - clock)

    @staticmethod
    def _become(path: Path, *arguments: str) -> None:
        """Run a script in this process, and end it."""
        code: object = 1
        try:
            sys.argv = [str(path), *arguments]
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            code = end.code
        finally:
            os._exit(code if isinstance(code, int) else 0 if code is None else 1)


class Run:
    """The phases of one slide, one task after the other.

    Parameters
    ----------
    folder : where all files go; a slide that lies there already is used again
    shape, channels : of the slide, (Y, X)
    drawing : further options of ``make_slide.py``
    """

    def __init__(self, folder: Path, shape: tuple[int, int], channels: int, drawing: Sequence[str] = ()) -> None:
        self.folder = folder
        self.images = folder / "images"
        slide = self.images / "1" / "slide.ome.tif"
        slide.parent.mkdir(parents=True, exist_ok=True)
        if not slide.exists():
            # in a process of its own: a child's peak counts what its parent held when it was started
            size = ["--height", str(shape[0]), "--side", str(shape[1]), "--channels", str(channels)]
            maker = ROOT / "benchmarks" / "make_slide.py"
            subprocess.run([sys.executable, str(maker), str(slide), *size, *drawing], check=True, stdout=sys.stderr)
        sheet = folder / "sheet.csv"
        sheet.write_text("sample,image,nuclear_channel,membrane_channel\nslide,s.tif,DAPI,CD45\n", encoding="utf-8")
        staged = [{"files": [{"column": "image", "path": "s.tif", "state": "staged", "position": 1}]}]
        self.model = folder / "model"
        if not self.model.exists():
            prepare_model(describe_source(find_model("demo")), self.model)
        self.batch = plan_batches(sheet, staged, self.images, describe_source(self.model), {})[0][0]
        for name in ("record", "measured"):
            (folder / f"{name}.json").write_text(encode_record(self.batch[name]), encoding="utf-8")

    def run(self, tasks: Tasks, phase: str, processes: int) -> list[Use]:
        """Run the tasks of one phase."""
        return [tasks.run(*command) for command in self.commands(phase, processes)]

    def commands(self, phase: str, processes: int) -> list[tuple[Any, ...]]:
        """Script and arguments of every task of a phase."""
        folder, meta = self.folder, self.batch["meta"]
        record = ["--batch", folder / ("measured.json" if phase == "measure" else "record.json")]
        times = ["--timings", folder / "timings.csv"]
        pixels, labels = folder / "b.pixels.zip", folder / "b.labels.zip"
        heads = [folder / f"b.{shard}.heads.zip" for shard in range(meta["shards"])]
        if phase == "preprocess":
            files = ["--images", self.images, "--model", self.model, "--output", pixels]
            return [("preprocess_images", *record, *times, *files, "--processes", processes)]
        if phase == "infer":
            files = ["--pixels", pixels, "--model", self.model, "--threads", processes]
            size = ["--shard_pixels", meta["shard_pixels"]]
            return [
                ("infer_tiles", *times, *files, *size, "--shard", shard, "--output", path)
                for shard, path in enumerate(heads)
            ]
        if phase == "postprocess":
            files = ["--heads", *heads, "--model", self.model, "--outdir", folder / "labels", "--handoff", labels]
            return [("postprocess_labels", *record, *times, *files, "--processes", processes)]
        files = ["--images", self.images, "--labels", labels, "--summary", folder / "summary.parquet"]
        outputs = ["--cells", folder / "cells", "--overlays", folder / "qc", "--processes", processes]
        return [("measure_cells", *record, *times, *files, *outputs)]


def is_kept(peak_mb: float, projected_mb: float) -> bool:
    """Whether enough memory was asked for a task, and not too much."""
    return peak_mb <= projected_mb <= 1.5 * peak_mb + 200


def main() -> None:
    """Print a row per shape and phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--shapes", default="4096x4096,8192x8192", help="height x width, with commas between")
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--forked", action="store_true", help="load the libraries once for all tasks")
    options = parser.parse_args()
    tasks, broken = Tasks(options.forked), 0
    print(f"{'shape':>12} {'phase':<12}{'tasks':>6}{'peak_mb':>9}{'projected':>10}{'cpu_ns_px':>11}{'wall_s':>9}")
    for text in options.shapes.split(","):
        height, width = map(int, text.split("x"))
        run = Run(options.outdir / text, (height, width), options.channels)
        for phase in options.phases.split(","):
            uses = run.run(tasks, phase, options.processes)
            peak = max(use.peak_mb for use in uses)
            cpu = sum(use.cpu_s for use in uses) * 1e9 / (height * width)
            wall, projected = sum(use.wall_s for use in uses), run.batch["meta"]["memory"][phase]
            remark = "" if is_kept(peak, projected) else "  PROMISE BROKEN"
            broken += bool(remark)
            line = f"{text:>12} {phase:<12}{len(uses):>6}{peak:>9.0f}{projected:>10.0f}{cpu:>11.1f}{wall:>9.1f}{remark}"
            print(line, flush=True)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
