"""Peak memory of each phase against image size, beside what the plan projects.

python benchmarks/memory.py --outdir memory --sides 512,2048,4096
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

from cellbatch.io.model_sources import describe_source
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.plan_batches import plan_batches
from cellbatch.phases.prepare_model import prepare_model
from cellbatch.phases.records import encode_record

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20
PIXEL_PX = 512


def draw_mosaic(folder: Path, side: int) -> Path:
    """One drawn field repeated, mirrored in turn so that it is continuous, to ``side`` px."""
    script = ROOT / "training" / "draw_tissue.py"
    sizes = ["--count", "1", "--size", str(PIXEL_PX), "--seed", "4"]
    subprocess.run([sys.executable, str(script), "--outdir", str(folder), *sizes], check=True, capture_output=True)
    field = tifffile.imread(next(folder.glob("*.ome.tif")))
    repeats = -(-side // PIXEL_PX)
    grown = np.pad(field, ((0, 0), (0, PIXEL_PX * (repeats - 1)), (0, PIXEL_PX * (repeats - 1))), mode="symmetric")
    path = folder / "images" / "1" / f"mosaic_{side}.ome.tif"
    path.parent.mkdir(parents=True)
    names = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, grown[:, :side, :side], photometric="minisblack", tile=(512, 512), metadata=names)
    return path


def measure_peak(script: str, *arguments: str | Path) -> float:
    """Run a script of bin/ and return its peak resident memory, that of its largest child included, in MiB."""
    command = [sys.executable, str(ROOT / "bin" / f"{script}.py"), *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{script} failed with exit code {process.returncode}")
    return usage.ru_maxrss * 1024 / MIB


def measure_side(folder: Path, side: int) -> list[tuple[str, float, float]]:
    """Name, measured and projected MiB of each phase for one image of ``side`` × ``side`` px."""
    image = draw_mosaic(folder, side)
    sheet = folder / "sheet.csv"
    sheet.write_text("sample,image,nuclear_channel,membrane_channel\nmosaic,m.tif,0,1\n", encoding="utf-8")
    staged = [{"files": [{"column": "image", "path": "m.tif", "state": "staged", "position": 1}]}]
    model = folder / "model"
    prepare_model(describe_source(find_model("demo")), model)
    batch = plan_batches(sheet, staged, image.parents[1], describe_source(model), {})[0][0]
    record = folder / "batch.json"
    record.write_text(encode_record(batch["record"]), encoding="utf-8")
    pixels, heads, labels, zipped = (
        folder / name for name in ("b.pixels.zip", "b.heads.zip", "labels", "b.labels.zip")
    )
    common = ["--batch", record, "--timings", folder / "timings.csv"]
    peaks = {
        "preprocess": measure_peak(
            "preprocess_images", *common, "--images", image.parents[1], "--model", model, "--output", pixels
        ),
        "infer": measure_peak("infer_tiles", *common[2:], "--pixels", pixels, "--model", model, "--output", heads),
        "postprocess": measure_peak(
            "postprocess_labels", *common, "--heads", heads, "--model", model, "--outdir", labels, "--handoff", zipped
        ),
        "measure": measure_peak(
            *("measure_cells", *common, "--images", image.parents[1], "--labels", zipped),
            *("--cells", folder / "cells", "--overlays", folder / "qc", "--summary", folder / "summary.parquet"),
        ),
    }
    return [(phase, peak, batch["meta"]["memory"][phase]) for phase, peak in peaks.items()]


def main() -> None:
    """Print a table, and the bytes per pixel between the smallest and the largest image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--sides", default="512,2048,4096")
    options = parser.parse_args()
    sides = [int(side) for side in options.sides.split(",")]
    peaks: dict[str, list[float]] = {}
    print(f"{'side_px':>8} {'phase':<12}{'measured_mb':>12}{'projected_mb':>14}")
    for side in sides:
        for phase, measured, projected in measure_side(options.outdir / str(side), side):
            peaks.setdefault(phase, []).append(measured)
            print(f"{side:>8} {phase:<12}{measured:>12.0f}{projected:>14.0f}", flush=True)
    for phase, measured in peaks.items():
        slope = (measured[-1] - measured[0]) * MIB / (sides[-1] ** 2 - sides[0] ** 2)
        print(f"{phase:<12} {slope:.0f} bytes per pixel")


if __name__ == "__main__":
    main()
