#!/usr/bin/env python3
"""Merge summaries and timings and write the report. Reads parameters and tool versions on stdin."""

import json
import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.phases.report_run import ReportFiles, report_run


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["summaries", "timings", "plan", "model", "config", "outdir"], Path, required=True)
    parser.add_argument("--failed", type=Path, help="folder with lists of samples that went wrong")
    parser.add_argument("--rows", type=Path, help="rows that would run each sample again")
    options = parser.parse_args()
    files = ReportFiles(
        options.summaries,
        options.timings,
        options.plan,
        options.model,
        options.config,
        options.failed,
        options.rows,
    )
    report_run(files, json.load(sys.stdin), options.outdir)


if __name__ == "__main__":
    sys.exit(run(main))
