#!/usr/bin/env bash
# Creates the project's Python environment: setup/create_venv.sh FOLDER. Honours $PYTHON; keeps an environment that works.
set -euo pipefail

venv="$1"

version_of() { # prints e.g. 311, or nothing where the command is no Python
    "$1" -c 'import sys; print(sys.version_info[0] * 100 + sys.version_info[1])' 2>/dev/null || true
}

choose_python() { # the first tested version among the usual names, else the first that is newer
    local name version newer=
    if [[ -n "${PYTHON:-}" ]]; then
        version="$(version_of "$PYTHON")"
        [[ -n "$version" && "$version" -ge 311 ]] && echo "$PYTHON"
        return
    fi
    for name in python3 python3.13 python3.12 python3.11 python3.14 python; do
        version="$(version_of "$name")"
        [[ -n "$version" ]] || continue
        if [[ "$version" -ge 311 && "$version" -le 313 ]]; then
            echo "$name"
            return
        fi
        if [[ -z "$newer" && "$version" -gt 313 ]]; then newer="$name"; fi
    done
    echo "$newer"
}

# An environment that was moved has scripts that point to its old place, so it is made again.
if [[ -x "$venv/bin/python" ]] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 &&
    [[ "$(cat "$venv/.place" 2>/dev/null)" == "$PWD" ]]; then
    exit 0
fi

python="$(choose_python || true)"
if [[ -z "$python" ]]; then
    found="$(version_of "${PYTHON:-python3}")"
    echo "cellbatch needs Python 3.11 or newer." >&2
    echo "Found: ${PYTHON:-python3} = ${found:-not there or not a Python} (311 would be 3.11)." >&2
    echo "Install one (e.g. apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3.11 ..." >&2
    exit 64
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$python ($("$python" -V)) cannot create environments: its modules venv and ensurepip are missing." >&2
    echo "Install them (Debian and Ubuntu: apt-get install python3-venv), or name another Python: make PYTHON=..." >&2
    exit 64
fi

echo "creating $venv with $("$python" -V) ($python)"
"$python" -m venv --clear "$venv"
echo "$PWD" > "$venv/.place"
