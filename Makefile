# Every check is a target here, and CI runs the same ones: .ci/run is `make lint test`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# Where cargo puts what it builds; the environment may name another folder.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# End-to-end tests wait for timers more than they compute, so more of them run at once than there are cores.
TEST_THREADS ?= 4

.PHONY: help
help: ## Say what there is to make.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build target/release/tandem.
	@echo "Building tandem: minutes on a machine that has never built it, seconds afterwards."
	$(CARGO) build --release --locked -p tandem-server

.PHONY: demo
demo: build ## Build tandem and run it with a simulated carrier, on loopback only.
	@exec $(TARGET)/release/tandem serve --demo

# Proves that the simulation notices what it should: with features that no program may have, so built apart.
MUTATIONS := -p tandem-sim --features mutations --test mutations

# One set of features and one profile for the binary and the tests, so that nothing is built twice.
.PHONY: test
test: test-peers client-tools ## Run every test.
	$(CARGO) build --workspace --locked --bins --tests
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; $(CARGO) nextest run --workspace --locked --no-fail-fast --test-threads $(TEST_THREADS); \
		$(CARGO) nextest run --locked --no-fail-fast --test-threads $(TEST_THREADS) $(MUTATIONS); \
		$(CARGO) test --workspace --locked --doc; \
	else \
		set -x; RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --workspace --locked --no-fail-fast; \
		RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked --no-fail-fast $(MUTATIONS); \
	fi

# How many seeds the simulation runs; a failing one prints how to see it again.
SIM_SEEDS ?= 1000
.PHONY: sim
sim: ## Simulate 100,000 calls in virtual time from 1,000 seeds (SIM_SEEDS); minutes, for every night.
	SIM_SEEDS=$(SIM_SEEDS) $(CARGO) test --locked --no-fail-fast -p tandem-sim --test seeds -- --nocapture

.PHONY: test-long
test-long: test-peers ## Run the tests that take minutes each, which `test` leaves out.
	$(CARGO) build --workspace --locked --bins --tests
	$(CARGO) test -p tandem-e2e --locked --no-fail-fast -- --ignored --test-threads $(TEST_THREADS)

.PHONY: test-peers
test-peers: ## Install the programs that tests talk to (root only; others are told what is missing).
	@scripts/install-test-peers.sh

.PHONY: client-tools
client-tools: ## Install the tools that make clients from the OpenAPI document, below the target folder.
	@scripts/install-client-tools.sh

# Examples of requests that each operation is probed with.
PROBES ?= 200
.PHONY: probe
probe: client-tools ## Probe every operation of the API with 200 requests that the document allows or does not (PROBES).
	EXAMPLES=$(PROBES) $(CARGO) test -p tandem-e2e --locked --test clients -- no_answer_is --nocapture

.PHONY: lint
lint: lint-tools ## Check format, lints, docs, licences, dependencies and layout. Changes nothing.
	$(CARGO) fmt --all --check
	scripts/check-layout.py
	scripts/check-docs.py
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --locked $(MUTATIONS) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	$(CARGO) deny --locked --log-level error check bans licenses sources
	$(CARGO) machete --with-metadata

# BENCH names suites (parse relay calls memory refusals api) and options, as BENCH="relay --runs 5"; see bench/README.md.
BENCH ?=
.PHONY: bench
bench: bench-peers build ## Measure Tandem beside Kamailio, rtpengine, bare loops and a bare handler; an hour, on a machine that does nothing else.
	$(CARGO) bench --workspace --locked --bench endpoint --bench records
	$(CARGO) build --release --locked -p tandem-server --example bare
	bench/run.py --tandem $(TARGET)/release/tandem --folder $(TARGET)/bench $(BENCH)

.PHONY: bench-scale
bench-scale: test-peers ## Measure lists and statistics over 10 million calls in PostgreSQL and a million in SQLite; takes 8 GB below /tmp for half an hour.
	$(CARGO) bench --locked -p tandem-scale --bench queries

.PHONY: bench-peers
bench-peers: ## Install the programs that the benches measure against (root only; others are told what is missing).
	@scripts/install-bench-peers.sh

# Seconds that each fuzz target runs for.
FUZZ_SECONDS ?= 60

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZ_SECONDS. Installs cargo-fuzz if it is missing.
	@scripts/fuzz.sh run $(FUZZ_SECONDS)

.PHONY: fuzz-proof
fuzz-proof: ## Show that each fuzz target finds the bug that is planted for it.
	@scripts/fuzz.sh proof

.PHONY: lint-tools
lint-tools: ## Install cargo-deny and cargo-machete in the versions that lint uses.
	@scripts/install-lint-tools.sh

.PHONY: fmt
fmt: ## Format the code.
	$(CARGO) fmt --all

.PHONY: clean
clean: ## Remove everything that was built.
	$(CARGO) clean
