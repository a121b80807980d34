"""The whole pipeline on drawn slides of rising size: peak memory and processor time per pixel of every task.

python benchmarks/end_to_end.py --outdir end_to_end --sides 4096,8192,16384

Nextflow's own trace is read, so the report and the plan are counted, too, and the engine is not. ``start_ns_px`` is the
part of the processor time that a script of that process takes to start and to import its libraries, once per task,
whatever the size of the slide: the median of runs of it with ``--help``.
"""

import argparse
import csv
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median

from results import Results, add_csv_option

ROOT = Path(__file__).resolve().parents[1]
MB = 1e6
COLUMNS = ("tasks", "peak_mb", "asked_mb", "cpu_ns_px", "start_ns_px", "sum_s")
HEADER = f"{'side_px':>8} {'process':<20}" + "".join(f"{name:>13}" for name in COLUMNS)
# the row of a whole run has these two instead
OF_RUN = ("wall_s", "slide_mb")
STARTS = 3


def draw(slide: Path, side: int, channels: int, fine: int) -> None:
    """Draw a slide unless it lies there."""
    if not slide.exists():
        slide.parent.mkdir(parents=True, exist_ok=True)
        maker = ROOT / "benchmarks" / "make_slide.py"
        sizes = ["--side", str(side), "--channels", str(channels), "--fine", str(fine)]
        subprocess.run([sys.executable, str(maker), str(slide), *sizes], check=True)


def run(folder: Path, slide: Path, options: Sequence[str]) -> float:
    """Run the pipeline on one slide; its wall time in seconds."""
    sheet = folder / "sheet.csv"
    sheet.write_text(f"sample,image,nuclear_channel,membrane_channel\nslide,{slide},DAPI,CD45\n", encoding="utf-8")
    command = ["nextflow", "-log", str(folder / "nextflow.log"), "run", str(ROOT / "main.nf"), "--input", str(sheet)]
    command += ["--outdir", str(folder / "results"), "-work-dir", str(folder / "work"), *options]
    environment = {**os.environ, "NXF_ANSI_LOG": "false"}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return time.perf_counter() - start


@cache
def start_cpu_s(name: str) -> float:
    """Processor seconds in which the script of a process starts."""
    seconds = []
    for _ in range(STARTS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        script = ROOT / "bin" / f"{name.lower()}.py"
        subprocess.run([sys.executable, str(script), "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(seconds)


def table(trace: Path, side: int) -> dict[str, dict[str, float]]:
    """Figures of each process, by the names of `COLUMNS`, from the trace of a run."""
    tasks = defaultdict(list)
    for row in csv.DictReader(trace.read_text(encoding="utf-8").splitlines(), delimiter="\t"):
        tasks[row["process"]].append(row)
    found = {}
    for process, rows in tasks.items():
        peak, asked = (max(float(row[name]) for row in rows) / MB for name in ("peak_rss", "memory"))
        seconds = [float(row["realtime"]) / 1000 for row in rows]
        cpu_s = sum(float(row["%cpu"]) / 100 * wall for row, wall in zip(rows, seconds, strict=True))
        name = process.rpartition(":")[2]
        per_px = (1e9 / side**2 * spent for spent in (cpu_s, start_cpu_s(name) * len(rows)))
        found[name] = dict(zip(COLUMNS, (len(rows), peak, asked, *per_px, sum(seconds)), strict=True))
    return found


def main() -> None:
    """Print a row per side and process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--sides", default="4096,8192")
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--fine", type=int, default=4, help="channels with all their grey levels")
    parser.add_argument("--keep", action="store_true", help="keep the work folder of each run")
    parser.add_argument("--repeats", type=int, default=1)
    add_csv_option(parser)
    options, rest = parser.parse_known_args()
    results = Results(options.csv, ("side_px", "channels", "process", *COLUMNS, *OF_RUN), with_nextflow=True)
    sides = [int(text) for text in options.sides.split(",")]
    for repeat, side in product(range(1, options.repeats + 1), sides):
        folder = (options.outdir / str(side)).resolve()
        slide = folder / "slide.ome.tif"
        draw(slide, side, options.channels, options.fine)
        wall, slide_mb = run(folder, slide, rest), slide.stat().st_size / MB
        of_slide = {"repeat": repeat, "side_px": side, "channels": options.channels}
        print(HEADER)
        for process, found in table(folder / "results" / "pipeline_info" / "execution_trace.txt", side).items():
            shown = (
                f"{value:.0f}" if value > 100 or value == int(value) else f"{value:.1f}" for value in found.values()
            )
            print(f"{side:>8} {process:<20}" + "".join(f"{one:>13}" for one in shown))
            results.add(**of_slide, process=process, **found)
        print(f"{side:>8} {wall:.0f} s from start to end; the slide has {slide_mb:.0f} MB", flush=True)
        results.add(**of_slide, process="whole run", wall_s=wall, slide_mb=slide_mb)
        if not options.keep:
            shutil.rmtree(folder / "work")


if __name__ == "__main__":
    main()
