#!/usr/bin/env bash
# Builds the native kernels with the compiler's sanitizers and runs the fuzz comparison on them.
#   setup/run_sanitizers.sh [PYTHON] [IMAGES]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${1:-.venv/bin/python}
images=${2:-300}
python=$(command -v "$python")
project=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
suffix=$("$python" -c 'from importlib.machinery import EXTENSION_SUFFIXES; print(EXTENSION_SUFFIXES[0])')

run() { # name, compiler flags, runtime to load first
    local folder=$work/$1
    mkdir -p "$folder"
    cp -r "$project/src" "$project/tests" "$project/benchmarks" "$folder"
    rm -f "$folder"/src/cellbatch/_native/*.so
    (cd "$folder/src/cellbatch/_native" &&
        printf '%s\n' ./*.cpp | xargs -P "$(nproc)" -I{} g++ -std=c++17 -O1 -g -fno-omit-frame-pointer -ffp-contract=off \
            -fno-trapping-math -Wno-psabi -pthread -fPIC $2 -c {} -o {}.o &&
        g++ -pthread -shared $2 ./*.o -o "_kernels_plain$suffix" && rm ./*.o)
    echo "== $1"
    # The interpreter itself is not instrumented and leaks on purpose; one BLAS thread keeps NumPy out of the way.
    (cd "$folder" && LD_PRELOAD=$(g++ -print-file-name="$3") ASAN_OPTIONS=detect_leaks=0:halt_on_error=1 \
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1 OPENBLAS_NUM_THREADS=1 \
        PYTHONPATH=src "$python" benchmarks/fuzz_watershed.py --images "$images" --longest 256 --blocks)
}

run address,undefined "-fsanitize=address,undefined -fno-sanitize-recover=undefined" libasan.so
run thread "-fsanitize=thread" libtsan.so
