#!/usr/bin/env bash
# Builds the Python package and installs it beside what its tests compare with: into target/python, with the newest Python at hand (up to 3.13)
# and what is current there, and into target/python-before, with python3 and the generation of anndata before. (PYTHON names
# one interpreter for both.) The wheel is built in the dev profile, with the features that the other tests are built with, so
# that it shares what they have compiled. Does nothing that is done already.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=python/tests/requirements.txt

# An environment, by an interpreter, with further options of pip.
environment() {
    local env=$1 python=$2
    shift 2
    if cmp -s "$requirements" "$env/.installed"; then return; fi
    echo "setting up $env with $("$python" --version)"
    mkdir -p target
    "$python" -m venv --clear "$env"
    # Nothing but our own wheel is compiled.
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r "$requirements" "$@"
    cp "$requirements" "$env/.installed"
}

for newest in python3.13 python3.12 ~/.pyenv/versions/3.1[23].*/bin/python3 python3; do
    if "$newest" -c 'import venv' 2> /dev/null; then break; fi
done
environment target/python "${PYTHON:-$newest}"
environment target/python-before "${PYTHON:-python3}" 'anndata<0.13' 'pandas<3' 'mudata<0.4'

sources=(Cargo.toml Cargo.lock src python/Cargo.toml python/pyproject.toml python/README.md python/src python/anndata_shadow)
for env in target/python target/python-before; do
    if [ ! -e "$env/.wheel" ] || [ -n "$(find "${sources[@]}" -newer "$env/.wheel" -print -quit)" ]; then stale=yes; fi
done
if [ -n "${stale:-}" ]; then
    echo "building the Python package"
    export CMAKE="${CMAKE:-$PWD/.venv/bin/cmake}"
    started=$(mktemp)
    trap 'rm -f "$started"' EXIT
    rm -rf target/wheel
    # Stored, not deflated: it is unpacked at once. Not searched for libraries of the system: it stays on this machine.
    target/python/bin/maturin build --quiet --manifest-path python/Cargo.toml --profile dev --features with-cli \
        --auditwheel skip --compression-method stored --out target/wheel
    for env in target/python target/python-before; do
        "$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheel/*.whl
        # What was changed since the build began is built next time.
        touch -r "$started" "$env/.wheel"
    done
    rm -rf target/wheel
fi
