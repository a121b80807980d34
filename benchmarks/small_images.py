"""2,000 images of 64² px in one folder: one batch, one model load, and the seconds outside the network.

Run in an empty folder with the environment's bin folder on the PATH:

    python benchmarks/small_images.py --outdir small --count 2000
"""

import argparse
from pathlib import Path

import numpy as np
import tifffile
from pipeline_run import run_pipeline
from results import Results, add_csv_option

SIZE_PX = 64
COLUMNS = ("images", "what", "seconds", "tasks", "model_loads")


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


def main() -> None:
    """Draw, run, and print where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    add_csv_option(parser)
    options = parser.parse_args()
    table = Results(options.csv, COLUMNS, with_nextflow=True)
    draw_images(options.outdir / "images", options.count)
    sheet = options.outdir / "samplesheet.csv"
    sheet.write_text(
        "sample,image,nuclear_channel,membrane_channel,image_mpp\nplate,images,0,1,0.5\n", encoding="utf-8"
    )
    run = run_pipeline(sheet.resolve(), options.outdir.resolve() / "results")
    network = float(run.timings.loc[run.timings["step"] == "network", "seconds"].sum())
    loads = int((run.timings["step"] == "load_model").sum())
    of_run = {"wall": run.wall_s, "inside the network": network, "besides the network": run.wall_s - network}
    of_tasks = run.trace.groupby("process", sort=False)["realtime"].agg(["sum", "size"])
    print(f"{options.count} images, {loads} model loads")
    for what, value in of_run.items():
        table.add(images=options.count, what=what, seconds=value, model_loads=loads, tasks=len(run.trace))
        print(f"{what:<22} {value:.1f} s")
    for process, (milliseconds, count) in of_tasks.iterrows():
        table.add(images=options.count, what=process, seconds=milliseconds / 1e3, tasks=count)
        print(f"  {process:<20} {milliseconds / 1e3:.1f} s, {count} tasks")


if __name__ == "__main__":
    main()
