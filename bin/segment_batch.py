#!/usr/bin/env python3
"""Preprocess, infer, label and measure the images of a batch in one task, all at the same time."""

import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.inference.engine import DEVICES, ENGINES, PRECISIONS
from cellbatch.phases.cell_tables import TableOptions
from cellbatch.phases.crashes import outlive_crashes
from cellbatch.phases.failures import Failures
from cellbatch.phases.loaded_model import InferenceOptions
from cellbatch.phases.measure_cells import MeasuredFiles
from cellbatch.phases.method_options import PREPROCESSING, WATERSHED
from cellbatch.phases.sample_work import SegmentFiles, SegmentOptions
from cellbatch.phases.samples import read_batch
from cellbatch.phases.segment_batch import segment_batch
from cellbatch.phases.timing_files import write_timings
from cellbatch.spec import COMPARTMENT_CHOICES, LAYOUTS

NUMBERS = ["percentile", "model_mpp", "maxima_threshold_whole_cell", "maxima_threshold_nuclear", "interior_threshold"]
SIZES = ["tile_batch", "clahe_kernel_size", "small_objects_threshold", "fill_holes_threshold", "radius"]
HOW = ["engine", "device", "tile_batch", "processes", "precision", "tensorrt_cache", "deepcell_python"]


def main() -> None:
    parser = Parser(__doc__)
    folders = ["images", "labels", "cells", "overlays", "zarr"]
    parser.add_options(["batch", "model", *folders, "summary", "timings"], Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    choices = {"engine": ENGINES, "device": DEVICES, "precision": PRECISIONS, "compartment": COMPARTMENT_CHOICES}
    for name, known in choices.items():
        parser.add_argument(f"--{name}", choices=known, default=known[0])
    texts = {"tensorrt_cache": "", "deepcell_python": "", "table_format": "parquet", "columns": "cellbatch"}
    for name, default in texts.items():
        parser.add_argument(f"--{name}", default=default)
    parser.add_options([*NUMBERS, "interior_smooth"], float)
    parser.add_options(SIZES, int)
    parser.add_argument("--formats", default="ome-tiff", help="comma list of the formats of the results")
    parser.add_argument("--qc_thresholds", type=Path)
    parser.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0])
    parser.add_argument("--failed", type=Path, help="with --keep_going: where the samples that go wrong are listed")
    options = parser.parse_args()
    formats = options.formats.split(",")
    of_cells = tuple(name for name in formats if not name.startswith("ome-"))
    table = TableOptions(options.table_format, options.columns, of_cells, options.layout)
    places = [getattr(options, name) for name in folders[:4]]
    measured = MeasuredFiles(*places, table, options.zarr if "ome-zarr" in formats else None, options.qc_thresholds)
    files = SegmentFiles(options.model, options.labels, measured, options.summary, Path(), "ome-tiff" in formats)
    chosen = [{name: getattr(options, name) for name in names} for names in (PREPROCESSING, WATERSHED)]
    settings = SegmentOptions(options.compartment, *chosen, InferenceOptions(*[getattr(options, n) for n in HOW]))
    failures = Failures("segment") if options.failed else None
    timings = segment_batch(read_batch(options.batch), files, settings, processes=options.processes, failures=failures)
    write_timings(timings, options.timings)
    if failures:
        failures.write(options.failed)


if __name__ == "__main__":
    sys.exit(outlive_crashes(lambda: run(main), sys.argv))
