#!/usr/bin/env bash
# Builds the Python package and installs it into an environment of its own, target/python, with what its tests compare with.
# The wheel is built in the dev profile, with the features that the other tests are built with, so that it shares what
# they have compiled. Does nothing that is done already. PYTHON names the interpreter, 3.11 or later.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=python/tests/requirements.txt
env=target/python
if ! cmp -s "$requirements" "$env/.installed"; then
    echo "setting up $env"
    mkdir -p target
    "${PYTHON:-python3}" -m venv --clear "$env"
    # Nothing but our own wheel is compiled.
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r "$requirements"
    cp "$requirements" "$env/.installed"
fi

sources=(Cargo.toml Cargo.lock src python/Cargo.toml python/pyproject.toml python/README.md python/src python/anndata_shadow)
if [ ! -e "$env/.wheel" ] || [ -n "$(find "${sources[@]}" -newer "$env/.wheel" -print -quit)" ]; then
    echo "building the Python package"
    export CMAKE="${CMAKE:-$PWD/.venv/bin/cmake}"
    started=$(mktemp)
    trap 'rm -f "$started"' EXIT
    rm -rf target/wheel
    # Stored, not deflated: it is unpacked at once. Not searched for libraries of the system: it stays on this machine.
    "$env/bin/maturin" build --quiet --manifest-path python/Cargo.toml --profile dev --features with-cli \
        --auditwheel skip --compression-method stored --out target/wheel
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheel/*.whl
    rm -rf target/wheel
    # What was changed since the build began is built next time.
    touch -r "$started" "$env/.wheel"
fi
