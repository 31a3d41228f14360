# Conclave: `make up` for a development cluster on this machine, `make test` for every test.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up down status clean build test prerequisites

# Kept across runs and outside the checkout, since RocksDB takes long to compile.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/conclave/target
# One set of flags for every build (.cargo/config.toml); an exported RUSTFLAGS would replace it.
unexport RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
# pkcs11: SoftHSM, one token a node. software: in the nodes' own memory. As at first, once there is a cluster.
export HSM ?= $(or $(shell cat cluster/dev/run/hsm 2>/dev/null),pkcs11)

# The whole workspace with the features of its tests, although only the programs are wanted: so that
# `up`, `test` and clippy agree on the features of every dependency and nothing compiles twice.
PROGRAMS := --release --locked --workspace --bins --examples

help: ## Shows this.
	@echo "Conclave. Targets:"
	@sed -nE 's/^([a-z]+):[^#]*## (.*)$$/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
	@echo "  HSM=software        with make up: no PKCS#11 module, keys in process memory"

up: ## Installs what is missing, builds, starts three nodes, holds the ceremony, shows a key at work.
	@cluster/dev/prerequisites.sh up
	@$(MAKE) --no-print-directory build
	@cluster/dev/up.sh

down: ## Stops the nodes; their data stays.
	@cluster/dev/down.sh

status: ## Shows the nodes.
	@cluster/dev/status.sh

clean: ## Stops the nodes and deletes their data and keys.
	@cluster/dev/clean.sh

prerequisites: ## Installs what building and testing need.
	@cluster/dev/prerequisites.sh test

build: ## Builds conclaved and conclave.
	cargo build $(PROGRAMS)

test: prerequisites build ## Runs every test, with real processes and SoftHSM.
	cargo test --release --locked --workspace --doc --quiet
	python3 -m unittest discover --quiet benches/versus
	@CONCLAVE_PYTHON="$$(cluster/dev/prerequisites.sh python)"; export CONCLAVE_PYTHON; \
	if cargo nextest --version >/dev/null 2>&1; then \
		echo "cargo nextest run"; \
		cargo nextest run --cargo-profile release --locked --workspace; \
	else \
		echo "cargo test (cargo-nextest is not installed, so the tests run one by one)"; \
		RUST_TEST_THREADS=1 cargo test --release --locked --workspace --no-fail-fast --lib --bins --tests; \
	fi
