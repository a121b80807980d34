#!/usr/bin/env python3
"""Measure the cells of a batch and draw their outlines."""

import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.phases.cell_tables import TableOptions
from cellbatch.phases.crashes import outlive_crashes
from cellbatch.phases.failures import Failures
from cellbatch.phases.measure_cells import MeasuredFiles, measure_batch
from cellbatch.phases.samples import read_batch
from cellbatch.phases.timing_files import write_timings
from cellbatch.spec import LAYOUTS


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["batch", "images", "labels", "cells", "overlays", "summary", "timings"], Path, required=True)
    parser.add_argument("--table_format", default="parquet")
    parser.add_argument("--columns", default="cellbatch")
    parser.add_argument("--zarr", type=Path, help="folder for <sample>.ome.zarr")
    parser.add_argument("--formats", default="", help="comma list of ome-zarr, geojson, geojson.gz, spatialdata")
    parser.add_argument("--qc_thresholds", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0])
    parser.add_argument("--failed", type=Path, help="with --keep_going: where the samples that go wrong are listed")
    options = parser.parse_args()
    formats = [name for name in options.formats.split(",") if name]
    of_cells = tuple(name for name in formats if name != "ome-zarr")
    table = TableOptions(options.table_format, options.columns, of_cells, options.layout)
    zarr = options.zarr if "ome-zarr" in formats else None
    folders = (options.images, options.labels, options.cells, options.overlays)
    files = MeasuredFiles(*folders, table, zarr, options.qc_thresholds)
    failures = Failures("measure") if options.failed else None
    timings = measure_batch(
        read_batch(options.batch), files, options.summary, processes=options.processes, failures=failures
    )
    write_timings(timings, options.timings)
    if failures:
        failures.write(options.failed)


if __name__ == "__main__":
    sys.exit(outlive_crashes(lambda: run(main), sys.argv))
