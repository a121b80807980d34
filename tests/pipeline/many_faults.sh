#!/usr/bin/env bash
# A samplesheet in which every row is wrong in its own way: one run must name them all.
set -euo pipefail
python tests/pipeline/make_images.py faults
exec nextflow run main.nf --input faults/samplesheet.csv
