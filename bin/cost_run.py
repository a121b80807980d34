#!/usr/bin/env python3
"""Write pipeline_info/cost.csv of a run that has ended: what it took and cost, beside what was planned."""

import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.phases.cost_run import cost_run


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["results"], Path, required=True)
    parser.add_options(["trace"], Path)
    options = parser.parse_args()
    cost_run(options.results, options.trace)


if __name__ == "__main__":
    sys.exit(run(main))
