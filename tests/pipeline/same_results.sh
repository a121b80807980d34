#!/usr/bin/env bash
# A run with faulty images, once with a process per phase and once with one task for all of them: what they publish must
# be equal byte for byte, and both must end with an error. Then what was left out is repaired and run again.
set -euo pipefail
python tests/pipeline/make_images.py broken
if nextflow run main.nf --input broken/samplesheet.csv --keep_going --phases auto --outdir fused; then
    echo "a run without all its samples passed"
    exit 2
fi
status=0
nextflow run main.nf --input broken/samplesheet.csv --keep_going || status=$?
echo "ENDED WITH $status"
cd results
find labels cells qc -type f | sort > ../split.txt
(cd ../fused && find labels cells qc -type f | sort) > ../fused.txt
cmp ../split.txt ../fused.txt
while read -r file; do
    cmp "$file" "../fused/$file"
    echo "same: $file"
done < ../split.txt
cmp rerun_samplesheet.csv ../fused/rerun_samplesheet.csv
echo "same: failed samples"
cd ..
# an image that fails in its task, and no other: the report says so, and what to run again
sed -n '1p;/^nan,/p' broken/samplesheet.csv > broken/nothing.csv
if nextflow run main.nf --input broken/nothing.csv --keep_going --outdir nothing; then exit 2; fi
python tests/pipeline/make_images.py repaired
nextflow run main.nf --input results/rerun_samplesheet.csv --outdir again
