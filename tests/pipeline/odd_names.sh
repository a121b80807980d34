#!/usr/bin/env bash
# Names that shells and globs would take apart, and signed addresses: all are read, nothing is executed or told.
set -euo pipefail
python tests/pipeline/make_images.py names
cp assets/qc_thresholds.json names/
python tests/pipeline/serve_images.py names nextflow run main.nf --input 'names/my sheet.csv' --outdir 'my results' \
    --formats ome-tiff,geojson,spatialdata --table_format anndata --measure_channels 0 \
    --qc_thresholds 'http://me:pa55word@127.0.0.1:{port}/qc_thresholds.json?X-Sig=S1GNED'
# the command line is the first line of the log, written before any line of this project runs
tail -n +2 .nextflow.log >log
for place in "my results" work log; do
    found=$(grep -rlE 'S1GNED|pa55word' "$place" || true)
    echo "secrets in $place: ${found:-none}"
done
# the other ways through the same names: one task for all phases; and the graph of the cloud
for way in '--phases fused' '-profile dryrun -stub'; do
    # shellcheck disable=SC2086
    nextflow run main.nf --input 'names/local [sheet].csv' --outdir "ways/$way" $way >/dev/null
    echo "ran: $way: $(find "ways/$way/labels" -name '*.whole_cell.ome.tif' | wc -l)"
done
