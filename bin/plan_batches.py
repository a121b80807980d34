#!/usr/bin/env python3
"""Check samplesheet, parameters and image headers; pack the samples into batches. Reads the launch record on stdin."""

import json
import sys
from pathlib import Path

from cellbatch.cli import Parser, run
from cellbatch.io.model_sources import find_source
from cellbatch.phases.plan_batches import check_parameters, plan_batches, write_plan
from cellbatch.phases.plan_memory import check_memory
from cellbatch.phases.qc_thresholds import check_thresholds


def main() -> None:
    parser = Parser(__doc__)
    parser.add_options(["samplesheet", "images", "model", "schema", "outdir"], Path, required=True)
    parser.add_argument("--stub", action="store_true", help="take an empty file for an image of 1 Mpx")
    parser.add_argument("--memory_limit", default="", help="resourceLimits of Nextflow for memory, such as '8 GB'")
    parser.add_argument("--processes", type=int, default=1, help="that may read the headers of a long samplesheet")
    options = parser.parse_args()
    launch = json.load(sys.stdin)
    parameters = {**check_parameters(options.schema, launch["parameters"]), "stub": options.stub}
    parameters["memory_limit"] = options.memory_limit
    parameters["marker_table"] = launch.get("markers")
    check_thresholds(launch.get("qc_thresholds"), str(parameters.get("qc_thresholds")))
    model = find_source(options.model)
    batches, plan = plan_batches(
        options.samplesheet, launch["rows"], options.images, model, parameters, launch.get("prices"), options.processes
    )
    check_memory(batches, parameters, options.memory_limit)
    write_plan(batches, plan, options.outdir)


if __name__ == "__main__":
    sys.exit(run(main))
