#!/usr/bin/env python3
"""Turn a model as the user names it into one checked folder: manifest and weights."""

import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.inference.engine import ENGINES
from cellbatch.io.model_fetch import SITE
from cellbatch.io.model_sources import find_source
from cellbatch.phases.prepare_model import PreparationOptions, prepare_model, write_manifest_line


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["source", "output", "manifest"], Path, required=True)
    parser.add_options(["tiles"], Path)
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--site", default=SITE)
    options = parser.parse_args()
    how = PreparationOptions(options.engine, options.tiles, options.site)
    prepare_model(find_source(options.source), options.output, how)
    write_manifest_line(options.output, options.manifest)


if __name__ == "__main__":
    sys.exit(run(main))
