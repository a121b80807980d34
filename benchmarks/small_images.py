"""2,000 images of 64² px in one folder: one batch, one model load, and the seconds outside the network.

Run in an empty folder with the environment's bin folder on the PATH:

    python benchmarks/small_images.py --outdir small --count 2000
"""

import argparse
import csv
import subprocess
import time
from pathlib import Path

import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parents[1]
SIZE_PX = 64


def draw_images(folder: Path, count: int) -> None:
    """Two-channel images with a few bright nuclei and rims."""
    folder.mkdir(parents=True)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    for i in range(count):
        rng = np.random.default_rng(i)
        image = rng.integers(0, 300, (2, SIZE_PX, SIZE_PX))
        for _ in range(6):
            center = rng.uniform(6, SIZE_PX - 6, 2)
            distance = np.hypot(y - center[0], x - center[1])
            image[0][distance < 6] += 3000
            image[1][(distance > 7) & (distance < 9)] += 2500
        tifffile.imwrite(folder / f"field_{i:04}.tif", image.astype(np.uint16), photometric="minisblack")


def read_rows(path: Path, delimiter: str) -> list[dict[str, str]]:
    """Rows of a table with a header."""
    with path.open(encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter=delimiter))


def main() -> None:
    """Draw, run, and print where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    draw_images(options.outdir / "images", options.count)
    sheet = options.outdir / "samplesheet.csv"
    sheet.write_text(
        "sample,image,nuclear_channel,membrane_channel,image_mpp\nplate,images,0,1,0.5\n", encoding="utf-8"
    )
    start = time.perf_counter()
    results = options.outdir / "results"
    command = ["nextflow", "run", str(ROOT / "main.nf"), "--input", str(sheet), "--outdir", str(results)]
    subprocess.run([*command, "-ansi-log", "false", "-work-dir", str(options.outdir / "work")], check=True)
    wall = time.perf_counter() - start
    timings = read_rows(results / "pipeline_info/timings.csv", ",")
    trace = read_rows(results / "pipeline_info/execution_trace.txt", "\t")
    network = sum(float(row["seconds"]) for row in timings if row["step"] == "network")
    seconds: dict[str, float] = {}
    for row in trace:
        seconds[row["process"]] = seconds.get(row["process"], 0) + float(row["realtime"]) / 1000
    print(f"images                 {options.count}")
    print(f"inference tasks        {sum(row['process'].endswith('INFER_TILES') for row in trace)}")
    print(f"model loads            {sum(row['step'] == 'load_model' for row in timings)}")
    print(f"wall                   {wall:.1f} s")
    print(f"inside the network     {network:.1f} s")
    print(f"besides the network    {wall - network:.1f} s")
    for process, value in seconds.items():
        print(f"  {process:<20} {value:.1f} s")


if __name__ == "__main__":
    main()
