#!/usr/bin/env bash
# Builds the reference environment for side-by-side runs: setup/create_reference.sh FOLDER. It needs Python 3.10, named by
# $PYTHON310 or found on the PATH. DeepCell's licence is academic and non-commercial; nothing of the product needs it.
set -euo pipefail

folder="${1:?usage: setup/create_reference.sh FOLDER}"
python="${PYTHON310:-python3.10}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null; then
    echo "DeepCell 0.12.10 with TensorFlow 2.8 needs Python 3.10; found: $("$python" -V 2>&1 || true)." >&2
    echo "Name one: PYTHON310=/path/to/python3.10 $0 $folder" >&2
    exit 64
fi
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet "deepcell==0.12.10" "tensorflow==2.8.4" "protobuf==3.19.6" \
    "numpy==1.26.4" "scikit-image==0.25.2"
TF_CPP_MIN_LOG_LEVEL=3 "$folder/bin/python" -c 'import deepcell, tensorflow; print("DeepCell with TensorFlow", tensorflow.__version__)'
