#!/usr/bin/env python3
"""Run the network, loaded and warmed once, over all tiles of a batch."""

import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.inference.engine import DEVICES, ENGINES, PRECISIONS
from cellbatch.phases.crashes import outlive_crashes
from cellbatch.phases.failures import Failures
from cellbatch.phases.infer_tiles import infer_batch
from cellbatch.phases.loaded_model import InferenceOptions
from cellbatch.phases.timing_files import write_timings
from cellbatch.planning.shards import Shard
from cellbatch.spec import COMPARTMENT_CHOICES


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["pixels", "model", "output", "timings"], Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tile_batch", type=int)
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--device", choices=DEVICES, default=DEVICES[0])
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    parser.add_argument("--tensorrt_cache", default="")
    parser.add_argument("--compartment", choices=COMPARTMENT_CHOICES, default=COMPARTMENT_CHOICES[0])
    parser.add_argument("--shard", type=int, default=0, help="number of this task among those of its batch, from 0")
    parser.add_argument("--shard_pixels", type=int, default=0, help="px of an image per task; 0 = images are not cut")
    parser.add_argument("--failed", type=Path, help="with --keep_going: where the samples that go wrong are listed")
    options = parser.parse_args()
    how = InferenceOptions(
        options.engine,
        options.device,
        options.tile_batch,
        options.threads,
        options.precision,
        options.tensorrt_cache,
    )
    shard = Shard(options.shard, options.shard_pixels)
    failures = Failures("infer") if options.failed else None
    files = (options.pixels, options.model, options.output)
    timings = infer_batch(*files, how, compartment=options.compartment, shard=shard, failures=failures)
    write_timings(timings, options.timings)
    if failures:
        failures.write(options.failed)


if __name__ == "__main__":
    sys.exit(outlive_crashes(lambda: run(main), sys.argv))
