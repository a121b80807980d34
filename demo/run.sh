#!/usr/bin/env bash
# Segments drawn tissue, whose truth is known, and a real picture, then says how good and where the results are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
outdir=${1:-results/demo}
python demo/make_inputs.py --outdir "$outdir/input"
nextflow -log "$outdir/nextflow.log" run main.nf --input "$outdir/input/samplesheet.csv" --outdir "$outdir" \
    -work-dir "$outdir/work" -resume
python demo/score.py --input "$outdir/input" --results "$outdir"
