"""Preprocessing with a delay added to every read of the image, as on a mounted bucket: bytes read, throughput kept.

python benchmarks/slow_reads.py --outdir slow --side 8192 --channels 40 --delay_ms 50
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import tifffile
from any_size import Run
from results import Results, add_csv_option

import cellbatch.io.tiff_bytes
from cellbatch.phases.preprocess_images import preprocess_images
from cellbatch.phases.samples import read_batch

USED = (0, 1)
COLUMNS = ("side_px", "channels", "delay_ms", "wall_s", "read_mb", "stored_mb", "reads", "peak_mb")
MB = 1e6


def run_delayed(folder: Path, delay_s: float) -> None:
    """Preprocess the slide of a folder in this process; print the seconds, bytes, reads and peak memory in kB."""
    sizes: list[int] = []
    pread = os.pread

    def slow(descriptor: int, size: int, offset: int) -> bytes:
        time.sleep(delay_s)
        data = pread(descriptor, size, offset)
        sizes.append(len(data))
        return data

    cellbatch.io.tiff_bytes.os.pread = slow
    clock = time.perf_counter()
    batch = read_batch(folder / "record.json")
    preprocess_images(batch, folder / "images", folder / "model", folder / "slow.pixels.zip")
    wall = time.perf_counter() - clock
    peak_kb = int(Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0])
    print(json.dumps([wall, sum(sizes), len(sizes), peak_kb]))


def main() -> None:
    """Compare medians of runs in turn, with and without the delay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--delay_ms", type=float, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--flat", action="store_true", help="no pyramid; unused channels repeat one tile")
    parser.add_argument("--one", action="store_true", help="one run in this process, of the slide in outdir")
    add_csv_option(parser)
    options = parser.parse_args()
    if options.one:
        run_delayed(options.outdir, options.delay_ms / 1000)
        return
    results = Results(options.csv, COLUMNS)
    drawing = ["--fine", str(len(USED)), "--flat"] if options.flat else []
    folder = Run(options.outdir, (options.side, options.side), options.channels, drawing).folder
    with tifffile.TiffFile(folder / "images" / "1" / "slide.ome.tif") as tif:
        stored = sum(sum(tif.pages[channel].databytecounts) for channel in USED)
    seconds: dict[float, list[float]] = {0.0: [], options.delay_ms: []}
    for repeat in range(1, options.repeats + 1):
        for delay, found in seconds.items():
            command = [sys.executable, __file__, "--one", "--outdir", str(folder), "--delay_ms", str(delay)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            wall, size, count, peak_kb = json.loads(answer.splitlines()[-1])
            found.append(wall)
            case = (options.side, options.channels, delay)
            figures = (*case, wall, size / MB, stored / MB, count, peak_kb * 1024 / MB)
            results.add(repeat, **dict(zip(COLUMNS, figures, strict=True)))
    fast, slow = (median(found) for found in seconds.values())
    print(f"{size / stored:.3f} of the channels' stored bytes read, in {count} reads")
    print(f"{fast:.1f} s without delay, {slow:.1f} s with {options.delay_ms:g} ms: {fast / slow:.0%} of the throughput")


if __name__ == "__main__":
    main()
