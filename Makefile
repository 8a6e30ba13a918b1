# Two commands: `make demo` shows the main job on real data, `make test` runs every test. Both set up what they need.

# HDF5 wants a newer CMake than many systems have; the set-up puts one into .venv.
export CMAKE := $(CURDIR)/.venv/bin/cmake

# What `make corpus` runs over, and how many inputs `make mutations` makes.
CORPUS ?= data
N ?= 20000

# How large the data of `make bench` are, where they lie, and what else benches/run.py is told, as BENCH="--sets sc --tasks T4".
SCALE ?= 1
BENCH_DATA ?= target/bench/data
BENCH ?=

.PHONY: demo test python corpus mutations lint bench setup

demo: setup
	cargo build --workspace --bins --examples
	target/debug/examples/demo

# The examples and the command line are built first: tests run them as a user would. The Python package comes last, for its wheel
# is linked from what the others have compiled.
test:
	tools/setup.sh --fixtures
	cargo build --workspace --bins --examples
	cargo test --workspace --bins --lib --tests -- --show-output
	cargo test --workspace --doc
	tools/python_setup.sh
	target/python/bin/python -B -m pytest -q -n 2 --disable-warnings -p no:cacheprovider python/tests
	target/python-before/bin/python -B -m pytest -q -n 2 --disable-warnings -p no:cacheprovider python/tests

# The Python package, in two environments of its own: target/python with what is current, target/python-before with the generation
# of anndata before.
python: setup
	tools/python_setup.sh

# Every real store below a folder against Python, as a table.
corpus: setup
	CORPUS="$(CORPUS)" cargo test --test corpus -- --show-output

# Damaged stores by the thousand, from a seed: typed errors or right values, nothing else.
mutations:
	tools/setup.sh --fixtures
	MUTATIONS=$(N) cargo test --test mutations -- --show-output

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	test -x target/lint/bin/ruff || (python3 -m venv target/lint && target/lint/bin/python -m pip install --quiet 'ruff<1')
	target/lint/bin/ruff check --no-cache python

# Generates its data (SCALE=0.02 for a look), installs the peers and our own Python package, and prints the tables; see
# benches/README.md.
bench: setup
	tools/bench_setup.sh
	cargo build --release --package bench-tasks
	target/bench/venv/bin/python -m pip install --quiet --disable-pip-version-check ./python
	.venv/bin/python -B benches/data.py $(BENCH_DATA) --scale $(SCALE)
	target/bench/venv/bin/python -B benches/run.py --data $(BENCH_DATA) $(BENCH)

setup:
	tools/setup.sh
