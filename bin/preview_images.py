#!/usr/bin/env python3
"""Show crops of a few images under a grid of parameters. Reads the run's parameters on stdin."""

import json
import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.io.parameters import read_parameters
from cellbatch.phases.loaded_model import InferenceOptions
from cellbatch.phases.preview_images import preview_images
from cellbatch.phases.samples import read_batch


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["batch", "images", "model", "schema", "outdir"], Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    given = read_parameters(options.schema, json.load(sys.stdin))
    how = InferenceOptions(
        given["engine"],
        given["device"],
        given.get("tile_batch"),
        options.threads,
        given["precision"],
        given.get("tensorrt_cache") or "",
    )
    preview_images(read_batch(options.batch), options.images, options.model, given, how, options.outdir)


if __name__ == "__main__":
    sys.exit(run(main))
