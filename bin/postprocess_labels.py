#!/usr/bin/env python3
"""Turn the heads of a batch into label images at image resolution."""

import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.phases.crashes import outlive_crashes
from cellbatch.phases.failures import Failures
from cellbatch.phases.label_files import LabelFiles
from cellbatch.phases.method_options import WATERSHED
from cellbatch.phases.postprocess_labels import postprocess_labels
from cellbatch.phases.samples import read_batch
from cellbatch.phases.timing_files import write_timings
from cellbatch.spec import COMPARTMENT_CHOICES, LAYOUTS

THRESHOLDS = ["maxima_threshold_whole_cell", "maxima_threshold_nuclear", "interior_threshold", "interior_smooth"]
SIZES = ["small_objects_threshold", "fill_holes_threshold", "radius"]


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["batch", "model", "outdir", "handoff", "timings"], Path, required=True)
    parser.add_argument("--heads", type=Path, nargs="+", required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--compartment", choices=COMPARTMENT_CHOICES, default=COMPARTMENT_CHOICES[0])
    parser.add_argument("--formats", default="ome-tiff", help="comma list; ome-tiff writes label files")
    parser.add_options(THRESHOLDS, float)
    parser.add_options(SIZES, int)
    parser.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0])
    parser.add_argument("--failed", type=Path, help="with --keep_going: where the samples that go wrong are listed")
    options = parser.parse_args()
    failures = Failures("postprocess") if options.failed else None
    timings = postprocess_labels(
        read_batch(options.batch),
        options.heads,
        options.model,
        LabelFiles(options.outdir, options.handoff, "ome-tiff" in options.formats.split(","), options.layout),
        compartment=options.compartment,
        overrides={name: getattr(options, name) for name in WATERSHED},
        processes=options.processes,
        failures=failures,
    )
    write_timings(timings, options.timings)
    if failures:
        failures.write(options.failed)


if __name__ == "__main__":
    sys.exit(outlive_crashes(lambda: run(main), sys.argv))
