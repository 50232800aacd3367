# The door: `make help` says what each target does. Everything here may be run again at any time.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PYTHON ?=
export PYTHON
VENV := .venv
PY := $(VENV)/bin/python
BINARY := python/src/nws/_bin/nws
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find crates python/native \
	-name '*.rs' -o -name Cargo.toml -o -path '*/assets/*' -type f)

# The native module never links libpython, and all builds agree on it, so that none makes another stale.
export PYO3_BUILD_EXTENSION_MODULE := 1
export CARGO_NET_RETRY := 5
# Also where the user's own settings lead builds elsewhere: what is built is copied from here.
export CARGO_TARGET_DIR := $(CURDIR)/target
unexport CARGO_BUILD_TARGET

# Most crates have no doc tests or no unit tests; what their runners say about that is left out.
export ONLY_WITH_TESTS = !/^(running 0 tests|test result: ok\. 0 passed; 0 failed; 0 ignored;.*)?$$/ { print; fflush() }

# A virtual environment whose Python has gone is made anew.
ifneq ($(shell $(PY) -c 'print("runs")' 2>/dev/null),runs)
.PHONY: $(VENV)/prepared
endif

.PHONY: help
help: ## says what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/prepared $(BINARY) $(VENV)/installed ## builds everything and installs it into .venv
	@:

$(VENV)/prepared: python/requirements-dev.txt scripts/prepare.sh
	@scripts/prepare.sh
	@touch $@

$(BINARY): $(RUST_SOURCES) | $(VENV)/prepared
	@echo "building the program nws and the native module (cargo, release)"
	@cargo build --release --locked --package nws-cli --package nws-python
	@install -D -m 755 target/release/nws $@

# One build for both above: alone, each would ask other features of syn, and half of all would be built twice.
$(VENV)/installed: $(RUST_SOURCES) python/pyproject.toml $(wildcard python/build_backend/*.py) | $(VENV)/prepared
	@echo "installing the Python package (maturin)"
	@$(PY) python/build_backend/third_party.py
	@# What maturin says of the build backend is meant for others: it stands behind the one that builds the program too.
	@cd python && VIRTUAL_ENV="$(abspath $(VENV))" PIP_QUIET=1 ../$(VENV)/bin/maturin develop --release --locked \
		2> >(grep --line-buffered --invert-match '`build-backend`' >&2)
	@touch $@

.PHONY: demo
demo: setup ## real work on all cores: what is in Python's standard library?
	@$(PY) -m nws.demo

.PHONY: test
test: setup ## runs the tests of Rust, of Python and of the wheel
	@cargo test --workspace --locked --no-run --quiet
	@cargo test --workspace --locked --quiet | awk "$$ONLY_WITH_TESTS"
	@$(PY) -m pytest --quiet python/tests

.PHONY: check
check: setup ## format, lints with warnings denied, types, stubs, docs, the rules of the tree
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked --quiet
	@cargo metadata --format-version 1 --locked --quiet --manifest-path fuzz/Cargo.toml >/dev/null || \
		{ echo "make check: fuzz/Cargo.lock is behind: cargo metadata --manifest-path fuzz/Cargo.toml mends it"; exit 1; }
	cd python && ../$(VENV)/bin/ruff format --check --quiet . && ../$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/ruff format --config python/pyproject.toml --check --quiet benches scripts examples
	$(VENV)/bin/ruff check --config python/pyproject.toml --quiet benches scripts examples
	cd python && ../$(VENV)/bin/mypy
	cd python && ../$(VENV)/bin/stubtest --mypy-config-file pyproject.toml nws._native
	$(PY) scripts/tidy.py

.PHONY: bench
bench: setup ## measures the aims on this machine and prints a table
	@cargo build --release --locked --quiet --package nws --example boss_bound
	@$(PY) benches/run.py

.PHONY: bench-server
bench-server: setup $(VENV)/contest ## measures the server against redis-server, which it installs where it may
	@cargo build --release --locked --quiet --package nws-server --example load
	@$(PY) benches/run.py server

$(VENV)/contest: python/requirements-bench.txt $(VENV)/prepared
	@scripts/prepare.sh bench-server
	@touch $@

.PHONY: bench-sleigh
bench-sleigh: setup ## measures Sleigh against multiprocessing.Pool, and from Rust against from Python
	@cargo build --release --locked --quiet --package nws --example map_rate
	@$(PY) benches/run.py sleigh

.PHONY: bench-lasting
bench-lasting: setup ## sends ten million tasks through imap, makes a thousand sleighs: what is held, what is left
	@$(PY) benches/imap_memory.py
	@$(PY) benches/thousand_sleighs.py

.PHONY: fuzz
fuzz: ## looks for bytes that break something: FUZZ_SECONDS=60 a target, FUZZ_TARGET=one of them
	@scripts/prepare.sh fuzz
	@scripts/fuzz.sh

.PHONY: clean
clean: ## removes what the targets have made
	@rm -rf target dist demo-out fuzz/corpus fuzz/artifacts $(VENV) python/src/nws/_bin python/src/nws/*.so \
		python/THIRD-PARTY-LICENSES.txt
	@find python benches scripts -name __pycache__ -prune -exec rm -rf {} +
