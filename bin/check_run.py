#!/usr/bin/env python3
"""End a run that left samples out with an error that names them."""

import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.phases.check_run import check_run


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["failed"], Path, required=True)
    check_run(parser.parse_args().failed)


if __name__ == "__main__":
    sys.exit(run(main))
