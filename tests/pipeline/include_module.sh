#!/usr/bin/env bash
# A pipeline that includes the module gets the labels that this pipeline makes, byte for byte.
set -euo pipefail
nextflow run main.nf -profile test --outdir own
nextflow run tests/pipeline/include_module/main.nf | tee seen.txt
while read -r _ sample mask; do
    cmp "$mask" "own/labels/$sample.whole_cell.ome.tif"
    for labels in own/labels/"$sample".*; do
        cmp "$labels" "$(dirname "$mask")/labels/$(basename "$labels")"
        echo "same: $(basename "$labels")"
    done
done < <(grep '^mask ' seen.txt)
# an image without a membrane, and one whose channels nobody named
nextflow run tests/pipeline/include_module/main.nf --with_membrane false \
    --segment_args '--nuclear-channel 0 --image-mpp 0.5 --compartment nuclear' | grep '^labels tissue_01'
if nextflow run tests/pipeline/include_module/main.nf --segment_args '--image-mpp 0.5' > refused.txt 2>&1; then exit 1; fi
grep -m1 'nuclear_channel' refused.txt
