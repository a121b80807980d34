#!/usr/bin/env python3
"""Turn the images of a batch into the bins and statistics from which the network's input is rebuilt."""

import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.phases.preprocess_images import preprocess_images
from cellbatch.phases.samples import read_batch
from cellbatch.phases.timing_files import write_timings


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["batch", "images", "model", "output", "timings"], Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--percentile", type=float)
    parser.add_argument("--clahe_kernel_size", type=int)
    options = parser.parse_args()
    timings = preprocess_images(
        read_batch(options.batch),
        options.images,
        options.model,
        options.output,
        overrides={"percentile": options.percentile, "clahe_kernel_size": options.clahe_kernel_size},
        processes=options.processes,
    )
    write_timings(timings, options.timings)


if __name__ == "__main__":
    sys.exit(run(main))
