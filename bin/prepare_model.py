#!/usr/bin/env python3
"""Check a model folder and copy manifest and weights for the tasks."""

import sys
from importlib.metadata import version
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.phases.prepare_model import prepare_model, write_manifest_line


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--runtime", action="version", version=version("onnxruntime"))
    parser.add_options(["source", "output", "manifest"], Path, required=True)
    parser.add_argument("--engine", default="onnxruntime")
    options = parser.parse_args()
    prepare_model(options.source, options.output, engine=options.engine)
    write_manifest_line(options.output, options.manifest)


if __name__ == "__main__":
    sys.exit(run(main))
