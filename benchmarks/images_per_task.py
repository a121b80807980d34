"""Images per minute against images per task: what it costs to set a task up, and when enough images share it.

    python benchmarks/images_per_task.py --outdir per_task --images 24 --most 1,4,16,64

Runs of all sizes in turn, on one drawn set of 512² px, with ``--phases fused``. ``--most`` are the images that fit
into a batch; a typical batch holds half of them (docs/decisions.md, 1).
"""

import argparse
from pathlib import Path

from pipeline_run import draw_images, run_pipeline
from results import Results, add_csv_option

SIDE_PX = 512
COLUMNS = ("images", "side_px", "most_images", "tasks", "images_task", "wall_s", "cpu_s", "images_min")


def main() -> None:
    """Print a line per run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--most", default="1,4,16,64")
    parser.add_argument("--repeats", type=int, default=2)
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, COLUMNS, with_nextflow=True)
    outdir = options.outdir.resolve()
    sheet = draw_images(outdir / "images", options.images, SIDE_PX)
    for repeat in range(1, options.repeats + 1):
        for most in map(int, options.most.split(",")):
            limit = str(most * SIDE_PX**2)
            run = run_pipeline(sheet, outdir / "results", "--phases", "fused", "--batch_pixels", limit)
            tasks = int((run.trace["process"] == "SEGMENT_BATCH").sum())
            found = {"tasks": tasks, "images_task": options.images / tasks, "wall_s": run.wall_s, "cpu_s": run.cpu_s}
            found["images_min"] = options.images / run.wall_s * 60
            results.add(repeat, images=options.images, side_px=SIDE_PX, most_images=most, **found)
            print("  ".join(f"{name} {value:.4g}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
