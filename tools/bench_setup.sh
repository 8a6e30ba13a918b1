#!/usr/bin/env bash
# Puts the peers that `make bench` measures into target/bench/venv. What cannot be installed is named, and left out of the
# tables, which name it again. Does nothing that is done already.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=benches/requirements.txt
venv=target/bench/venv
if cmp -s "$requirements" "$venv/.installed"; then exit 0; fi

# Some peers want a newer Python than the tests.
for python in python3.13 python3.12 python3; do
    if "$python" -c 'import venv' 2> /dev/null; then break; fi
done
echo "setting up $venv with $("$python" --version)"
mkdir -p target/bench
"$python" -m venv --clear "$venv"
failed=()
while read -r package; do
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$package" || failed+=("$package")
done < <(grep -v '^#' "$requirements")
if [ ${#failed[@]} -gt 0 ]; then
    echo "not installed, and left out: ${failed[*]}" >&2
else
    cp "$requirements" "$venv/.installed"
fi
