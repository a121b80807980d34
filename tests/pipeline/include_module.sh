#!/usr/bin/env bash
# A pipeline that includes the module gets the labels that this pipeline makes, byte for byte.
set -euo pipefail
nextflow run main.nf -profile test --outdir own
# away from this pipeline's configuration, as in a project of one's own
mkdir apart
cd apart
example=../tests/pipeline/include_module/main.nf
nextflow run "$example" | tee seen.txt
while read -r _ sample mask; do
    cmp "$mask" "../own/labels/$sample.whole_cell.ome.tif"
    for labels in ../own/labels/"$sample".*; do
        cmp "$labels" "$(dirname "$mask")/labels/$(basename "$labels")"
        echo "same: $(basename "$labels")"
    done
done < <(grep '^mask ' seen.txt)
# a name that shells would take apart, and an image without a membrane; then one whose channels nobody named
cp ../assets/test/tissue_01.ome.tif "tissue_01.it's a (copy) & more.ome.tif"
nextflow run "$example" --images "$PWD/*.ome.tif" --with_membrane false \
    --segment_args '--nuclear-channel 0 --image-mpp 0.5 --compartment nuclear' | grep '^labels tissue_01'
if nextflow run "$example" --segment_args '--image-mpp 0.5' > refused.txt 2>&1; then exit 1; fi
grep -m1 'which channel is nuclear_channel' refused.txt
