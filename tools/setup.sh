#!/usr/bin/env bash
# Puts what building and testing need into the checkout: `.venv` (CMake for HDF5, and the Python packages that the tests
# compare with) and, with --fixtures, the fixture stores in `target/fixtures`, and strace, with which the tests kill writers,
# onto the system. Does nothing that is done already.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=tests/python/requirements.txt
stamp=.venv/.installed
if ! cmp -s "$requirements" "$stamp"; then
    echo "setting up .venv"
    python3 -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$stamp"
fi

if [ "${1:-}" = --fixtures ] && ! cmp -s tests/python/make_fixtures.py target/fixtures.made-by; then
    echo "writing fixtures"
    rm -rf target/fixtures
    mkdir -p target/fixtures
    .venv/bin/python tests/python/make_fixtures.py target/fixtures
    cp tests/python/make_fixtures.py target/fixtures.made-by
fi
if [ "${1:-}" = --fixtures ] && ! cat tests/python/make_codecs.py tests/python/make_fixtures.py | cmp -s - target/codecs.made-by; then
    echo "writing arrays in every codec"
    .venv/bin/python -B tests/python/make_codecs.py target/codecs
    cat tests/python/make_codecs.py tests/python/make_fixtures.py > target/codecs.made-by
fi

if [ "${1:-}" = --fixtures ] && [ "$(uname -s)" = Linux ] && ! command -v strace > /dev/null; then
    echo "installing strace"
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        apt-get install --yes --quiet strace > /dev/null || { apt-get update --quiet > /dev/null && apt-get install --yes --quiet strace > /dev/null; }
    else
        echo "the tests that kill writers need strace: install it (apt-get install strace, dnf install strace, …)" >&2
        exit 1
    fi
fi
