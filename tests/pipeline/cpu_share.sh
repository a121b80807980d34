#!/usr/bin/env bash
# Batches of Google Batch that machines without GPU infer: all of them for real, which must give a local run's labels byte
# for byte, and a share of them as a graph.
set -euo pipefail
count() { grep -cE ":$1\s" "$2/pipeline_info/execution_trace.txt" || true; }
nextflow run main.nf -profile test --outdir here
nextflow run main.nf -profile gcb,test,dryrun --gcp_cpu_share 1 --batch_pixels 65536 --outdir there
echo "ran: SEGMENT_BATCH_CPU $(count SEGMENT_BATCH_CPU there), SEGMENT_BATCH $(count SEGMENT_BATCH there)"
for file in here/labels/*; do
    cmp "$file" "there/labels/$(basename "$file")"
    echo "same: $(basename "$file")"
done
# by their names, one of the two batches is below this share and the other above
nextflow run main.nf -profile gcb,test,dryrun -stub --gcp_cpu_share 0.2 --batch_pixels 65536 --phases split --outdir mixed
echo "ran: INFER_TILES_CPU $(count INFER_TILES_CPU mixed), INFER_TILES $(count INFER_TILES mixed)"
if nextflow run main.nf -profile gcb,test,dryrun -stub --gcp_cpu_share 0.5 --precision tf32 --outdir refused; then exit 2; fi
