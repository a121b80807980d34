#!/usr/bin/env bash
# Writes requirements/*.txt: exact versions with hashes, for every Python from 3.11 on and every platform.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v uv >/dev/null || python -m pip install --quiet "uv>=0.5"

lock() { # lock OUTPUT INPUT...
    local output="$1"
    shift
    echo "resolving $output"
    uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --upgrade --no-emit-index-url \
        --no-emit-find-links --custom-compile-command "bash setup/lock_requirements.sh" --output-file "$output" "$@"
}

# The larger set first: what the engine for tests allows decides the versions of the smaller one.
lock requirements/test.txt pyproject.toml requirements/build.in --extra test --constraint requirements/constraints.in
lock requirements/base.txt pyproject.toml requirements/build.in --constraint requirements/test.txt
# The images of tasks hold the same without what the report alone needs.
lock requirements/tasks.txt pyproject.toml requirements/build.in --override requirements/not_in_tasks.in --constraint requirements/base.txt
# What the images for GPUs and for the preparation of models have besides: the same versions as everywhere else.
lock requirements/gpu.txt requirements/gpu.in --constraint requirements/test.txt
lock requirements/model.txt requirements/model.in --constraint requirements/test.txt
lock requirements/plots.txt requirements/plots.in --constraint requirements/test.txt
lock requirements/java.txt requirements/java.in
lock requirements/jgo.txt requirements/jgo.in
lock requirements/docs.txt requirements/docs.in
lock requirements/viewers.txt requirements/viewers.in
lock requirements/nf_core.txt requirements/nf_core.in
