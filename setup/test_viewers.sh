#!/usr/bin/env bash
# Opens results with other people's readers, in an environment of their own (a GB). Needs `make setup` before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.venv/viewers

if [ ! -x "$venv/bin/pytest" ]; then
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --require-hashes -r requirements/viewers.txt
fi
rm -rf results/viewers
.venv/bin/cellbatch segment assets/test/tissue_01.ome.tif --nuclear-channel 0 --membrane-channel 1 --image-mpp 0.5 \
    --formats ome-zarr,geojson,spatialdata --table-format anndata --outdir results/viewers
CELLBATCH_RESULTS="$PWD/results/viewers" "$venv/bin/python" -m pytest --noconftest -p no:cacheprovider \
    -o addopts= -o filterwarnings=default tests/viewers/read_results.py
