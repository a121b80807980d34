#!/usr/bin/env python3
"""Turn the images of a batch into the bins and statistics from which the network's input is rebuilt."""

import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.phases.crashes import outlive_crashes
from cellbatch.phases.failures import Failures
from cellbatch.phases.method_options import PREPROCESSING
from cellbatch.phases.preprocess_images import preprocess_images
from cellbatch.phases.samples import read_batch
from cellbatch.phases.timing_files import write_timings


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["batch", "images", "model", "output", "timings"], Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_options(["percentile", "model_mpp"], float)
    parser.add_argument("--clahe_kernel_size", type=int)
    parser.add_argument("--failed", type=Path, help="with --keep_going: where the samples that go wrong are listed")
    options = parser.parse_args()
    failures = Failures("preprocess") if options.failed else None
    timings = preprocess_images(
        read_batch(options.batch),
        options.images,
        options.model,
        options.output,
        overrides={name: getattr(options, name) for name in PREPROCESSING},
        processes=options.processes,
        failures=failures,
    )
    write_timings(timings, options.timings)
    if failures:
        failures.write(options.failed)


if __name__ == "__main__":
    sys.exit(outlive_crashes(lambda: run(main), sys.argv))
