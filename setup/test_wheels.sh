#!/usr/bin/env bash
# Builds the source archive, from it a wheel for each Python, installs each into an environment of its own with the
# locked requirements, and segments an example there, away from the checkout:
#     bash setup/test_wheels.sh PYTHON [PYTHON ...]
# Prints a line per Python; fails where an installation lacks kernels or models, or the labels are not those of the others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
project="$PWD"
# what stands there would pass for installed
unset PYTHONPATH
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

"$1" -m venv "$folder/build"
"$folder/build/bin/python" -m pip install --quiet --disable-pip-version-check build
"$folder/build/bin/python" -m build --sdist --outdir "$folder/source" . > "$folder/build.log"
cp assets/test/tissue_01.ome.tif "$folder/"
cat > "$folder/describe.py" <<'EOF'
import hashlib, platform, sys
from importlib import resources
import tifffile
from cellbatch._native.library import BUILDS, load_library

for build in BUILDS:
    load_library(build)
models = resources.files("cellbatch") / "assets" / "models"
assert all((models / name / "model.onnx").is_file() for name in ("demo", "demo_nuclear")), models
labels = [tifffile.imread(path) for path in sys.argv[2:]]
digest = hashlib.sha256(b"".join(one.astype("<u4").tobytes() for one in labels)).hexdigest()
counts = " and ".join(f"{one.max()}" for one in labels)
print(f"Python {platform.python_version()}: wheel {sys.argv[1]}, kernels {', '.join(BUILDS)}; {counts} objects, {digest[:16]}")
EOF
for python in "$@"; do
    name="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    place="$folder/$name"
    "$python" -m venv "$place"
    pip="$place/bin/python -m pip --quiet --disable-pip-version-check"
    $pip wheel --no-deps --wheel-dir "$place/wheel" "$folder"/source/*.tar.gz
    $pip install --require-hashes -r "$project/requirements/base.txt"
    $pip install --no-deps "$place"/wheel/*.whl
    size="$(du -h --apparent-size "$place"/wheel/*.whl | cut -f1)B"
    (
        cd "$place"
        bin/cellbatch segment "$folder/tissue_01.ome.tif" --nuclear-channel 0 --membrane-channel 1 --image-mpp 0.5 \
            --outdir results > segment.log 2>&1 || { cat segment.log >&2; exit 1; }
        bin/python "$folder/describe.py" "$size" results/labels/*.ome.tif
    ) | tee -a "$folder/lines"
    rm -rf "$place"
done
[[ "$(sed 's/.*; //' "$folder/lines" | sort -u | wc -l)" == 1 ]] || { echo "the labels differ" >&2; exit 1; }
