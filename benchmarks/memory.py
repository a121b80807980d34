"""Peak memory and CPU time of each phase against image size, beside what the plan projects.

python benchmarks/memory.py --outdir memory --shapes 512x512,8192x512,512x8192,4096x4096
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from cellbatch.io.model_sources import describe_source
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.plan_batches import PROCESSES, plan_batches
from cellbatch.phases.prepare_model import prepare_model
from cellbatch.phases.records import encode_record

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20
PIXEL_PX = 512


def draw_mosaic(folder: Path, shape: tuple[int, int]) -> Path:
    """One drawn field repeated, mirrored in turn so that it is continuous, written tile by tile."""
    script = ROOT / "training" / "draw_tissue.py"
    sizes = ["--count", "1", "--size", str(PIXEL_PX), "--seed", "4"]
    subprocess.run([sys.executable, str(script), "--outdir", str(folder), *sizes], check=True, capture_output=True)
    field = tifffile.imread(next(folder.glob("*.ome.tif")))
    double = np.pad(field, ((0, 0), (0, PIXEL_PX), (0, PIXEL_PX)), mode="symmetric")
    path = folder / "images" / "1" / "mosaic.ome.tif"
    path.parent.mkdir(parents=True, exist_ok=True)

    def tiles() -> Iterator[np.ndarray]:
        for plane in double:
            for y in range(0, shape[0], PIXEL_PX):
                for x in range(0, shape[1], PIXEL_PX):
                    top, left = y % (2 * PIXEL_PX), x % (2 * PIXEL_PX)
                    yield np.ascontiguousarray(plane[top : top + PIXEL_PX, left : left + PIXEL_PX])

    tifffile.imwrite(
        path,
        tiles(),
        shape=(len(double), *shape),
        dtype=double.dtype,
        photometric="minisblack",
        tile=(PIXEL_PX, PIXEL_PX),
        compression="zlib",
        bigtiff=True,
        metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
    )
    return path


@dataclass(frozen=True)
class Measured:
    """One phase on one image: MiB at the peak, MiB that the plan asks for, seconds of CPU."""

    phase: str
    peak_mb: float
    projected_mb: int
    cpu_s: float


def measure_script(script: str, *arguments: str | Path) -> tuple[float, float]:
    """Run a script of bin/; its peak resident memory, the largest child included, in MiB, and its CPU time in s."""
    command = [sys.executable, str(ROOT / "bin" / f"{script}.py"), *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    error = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{script} failed with exit code {process.returncode}: {error.decode()}")
    return usage.ru_maxrss * 1024 / MIB, usage.ru_utime + usage.ru_stime


def measure_phases(folder: Path, shape: tuple[int, int]) -> list[Measured]:
    """All phases of one image, with the threads and processes that Nextflow gives them."""
    image = draw_mosaic(folder, shape)
    sheet = folder / "sheet.csv"
    sheet.write_text("sample,image,nuclear_channel,membrane_channel\nmosaic,m.tif,0,1\n", encoding="utf-8")
    staged = [{"files": [{"column": "image", "path": "m.tif", "state": "staged", "position": 1}]}]
    model = folder / "model"
    prepare_model(describe_source(find_model("demo")), model)
    batch = plan_batches(sheet, staged, image.parents[1], describe_source(model), {})[0][0]
    record = folder / "batch.json"
    record.write_text(encode_record(batch["record"]), encoding="utf-8")
    pixels, labels, zipped = (folder / name for name in ("b.pixels.zip", "labels", "b.labels.zip"))
    timings = ["--timings", folder / "timings.csv"]
    common = ["--batch", record, *timings, "--processes", PROCESSES]
    runs = {
        "preprocess": [
            ("preprocess_images", *common, "--images", image.parents[1], "--model", model, "--output", pixels)
        ]
    }
    heads = [folder / f"b.{shard}.heads.zip" for shard in range(batch["meta"]["shards"])]
    runs["infer"] = [
        (
            *("infer_tiles", *timings, "--pixels", pixels, "--model", model, "--output", path, "--threads", PROCESSES),
            *("--shard", shard, "--shard_pixels", batch["meta"]["shard_pixels"]),
        )
        for shard, path in enumerate(heads)
    ]
    runs["postprocess"] = [
        ("postprocess_labels", *common, "--heads", *heads, "--model", model, "--outdir", labels, "--handoff", zipped)
    ]
    runs["measure"] = [
        (
            *("measure_cells", *common, "--images", image.parents[1], "--labels", zipped),
            *("--cells", folder / "cells", "--overlays", folder / "qc", "--summary", folder / "summary.parquet"),
        )
    ]
    found = []
    for phase, commands in runs.items():
        peaks, seconds = zip(*(measure_script(*command) for command in commands), strict=True)
        found.append(Measured(phase, max(peaks), batch["meta"]["memory"][phase], sum(seconds)))
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--shapes", default="512x512,8192x512,512x8192,4096x4096")
    options = parser.parse_args()
    print(f"{'shape':>12} {'phase':<12}{'measured_mb':>12}{'projected_mb':>13}{'cpu_ns_per_px':>14}")
    for name in options.shapes.split(","):
        height, width = map(int, name.split("x"))
        for one in measure_phases(options.outdir / name, (height, width)):
            ns = one.cpu_s * 1e9 / (height * width)
            print(f"{name:>12} {one.phase:<12}{one.peak_mb:>12.0f}{one.projected_mb:>13}{ns:>14.0f}", flush=True)


if __name__ == "__main__":
    main()
