#!/usr/bin/env bash
# Both engines run the same network, one of them in shards: their label files must be equal byte for byte.
set -euo pipefail
python training/export.py --model_folder demo_tf
nextflow run main.nf -profile test --outdir onnxruntime --shard_pixels 20000
grep -q 'INFER_TILES (.* 2/2 (2))' onnxruntime/pipeline_info/execution_trace.txt
nextflow run main.nf -profile test --outdir tensorflow --engine tensorflow --model demo_tf
for file in onnxruntime/labels/*; do
    cmp "$file" "tensorflow/labels/$(basename "$file")"
    echo "same: $(basename "$file")"
done
