#!/usr/bin/env bash
# nf-core's checks of the pipeline's form, without network, in an environment of their own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

place="$(realpath -m "${1:-.venv}")/nf_core"
if ! cmp -s requirements/nf_core.txt "$place/installed.txt"; then
    python3 -m venv --clear "$place"
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/nf_core.txt
    cp requirements/nf_core.txt "$place/installed.txt"
fi
# its caches and settings stay with the environment
XDG_CACHE_HOME="$place/cache" XDG_CONFIG_HOME="$place/config" NXF_OFFLINE=true "$place/bin/python" setup/lint_conventions.py
