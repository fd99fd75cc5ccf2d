#!/usr/bin/env bash
# Makes .venv ready: pinned uv, every dependency by hash, every package of the tree editable.
# Run by `make setup`. Index, proxy and certificate settings are the caller's own; none is set here.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

recent_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        if recent_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    say "Holdfast needs Python 3.11 or newer, and none was found."
    say "Install it (Debian 12: apt install python3 python3-venv), or name it: make setup PYTHON=/path/to/python3"
    exit 1
}

if ! recent_enough .venv/bin/python; then
    python="$(find_python)"
    say "Creating .venv with $("$python" --version)"
    if ! "$python" -m venv --clear .venv; then
        say "Python could not create a virtual environment (Debian: apt install python3-venv)."
        exit 1
    fi
fi

bootstrap_version="$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-bootstrap.lock)"
if ! .venv/bin/uv --version 2>/dev/null | grep -qF "uv $bootstrap_version"; then
    say "Installing uv $bootstrap_version"
    if ! .venv/bin/python -m pip install --quiet --require-hashes -r requirements-bootstrap.lock; then
        say "The Python package index could not be reached or refused; check the network, proxy or index settings of pip."
        exit 1
    fi
fi

export VIRTUAL_ENV="$PWD/.venv"
say "Installing the pinned dependencies"
# uv is in the list as well: a sync removes whatever is not.
if ! .venv/bin/uv pip sync --quiet --require-hashes requirements-bootstrap.lock requirements.lock; then
    say "The dependencies could not be installed; check the network, proxy or index settings of uv."
    exit 1
fi

editables=()
for project in libs/*/pyproject.toml services/*/pyproject.toml; do
    editables+=(--editable "${project%/pyproject.toml}")
done
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation "${editables[@]}"
touch .venv/.ready
