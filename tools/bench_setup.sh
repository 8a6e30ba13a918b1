#!/usr/bin/env bash
# Puts the peers that `make bench` measures into target/bench/venv, by BENCH_PYTHON or the newest Python at hand, for some of them
# want a newer one than the tests. What cannot be installed is named, and left out of the tables, which name it again. Does
# nothing that is done already.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=benches/requirements.txt
venv=target/bench/venv
if ! cmp -s "$requirements" "$venv/.installed"; then
    for python in "${BENCH_PYTHON:-}" python3.13 python3.12 ~/.pyenv/versions/3.1[23].*/bin/python3 python3; do
        if [ -n "$python" ] && "$python" -c 'import venv' 2> /dev/null; then break; fi
    done
    echo "setting up $venv with $("$python" --version)"
    mkdir -p target/bench
    "$python" -m venv --clear "$venv"
    while read -r package; do
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$package" || echo "$package" >> "$venv/.absent"
    done < <(grep -v '^#' "$requirements")
    cp "$requirements" "$venv/.installed"
fi
if [ -e "$venv/.absent" ]; then
    echo "not installed, and left out: $(paste -sd ' ' "$venv/.absent")" >&2
fi
