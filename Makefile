# Every command works from a clean checkout with Rust, Python 3.10 or later and git. What is
# missing is fetched once; a second run needs no network.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .cache/demo-venv

.PHONY: help demo release test test-fast faults agree lint bench cel fuzz-smoke vectors sign-test

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1 \t\2/' | expand -t 20

demo: $(VENV)/installed ## the whole story on one page: policy, bundle, sidecar, a change, a swap
	@echo "demo: building latchkey and latchkey-sidecar (some minutes the first time)"
	@cargo build --quiet --locked -p latchkey -p latchkey-sidecar --bins
	@PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python demo/demo.py

release: ## the programs as they are released, in target/release; the sidecar is built by what a load of calls runs
	@bench/guided

test: nextest ## every test of every crate, and of the documents
	@cargo nextest run --workspace --locked

test-fast: nextest ## the inner loop: the engine and the gate
	@cargo nextest run --locked -p latchkey-engine -p latchkey-gate

faults: nextest ## what goes wrong around a sidecar, and what becomes of it: a table
	@cargo nextest run --locked -p latchkey-sidecar --no-capture --test sidecar every_fault_has_one_reason

# An hour or so of one processor; `make test` runs a small part of each.
agree: export LATCHKEY_CALLS = 1000000
agree: export LATCHKEY_EDITS = 10000
agree: export LATCHKEY_WORLDS = 1000
agree: export LATCHKEY_LITERALS = 3000
agree: export LATCHKEY_PAIRS = 2000
agree: ## the proofs in full: a million random calls, ten thousand random edits, Z3; prints the counts
	@cargo test --workspace --locked --test agree --test diff --test idle --test literals --test z3 -- --nocapture

lint: ## format, clippy, rustdoc and, where cargo-deny is installed, licences, bans and sources
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --all-features check --hide-inclusion-graph licenses bans sources; \
	 else echo "lint: cargo-deny is not installed; CI checks licences, bans and sources"; fi

bench: ## decisions and proxying beside their peers, in one run
	@bench/run

# Coverage instrumentation is an unstable option that the pinned compiler has too.
cel: ## conditions beside the crate `cel`, in a workspace of its own
	@cargo test --manifest-path tests/cel/Cargo.toml --locked -- --nocapture

fuzz-smoke: ## each fuzz target for half a minute, on the stable toolchain
	@cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
	@cd fuzz && for target in $$(cargo fuzz list); do mkdir -p "target/smoke/$$target" && \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run -s none "$$target" "target/smoke/$$target" "corpus/$$target" \
	    -- -max_total_time=30 || exit 1; done

vectors: nextest ## public test vectors that no package carries: fetched once, and their tests
	@$(call fetched,sigstore-conformance,sigstore/sigstore-conformance,a73de4970176d258e0154c530b89d20b89444e4d)
	@$(call fetched,CCTV,C2SP/CCTV,1e3d2860d46e94e777e1b17c7a6f2436387e3ecc)
	@cargo nextest run --locked -p latchkey-tests --features vectors --test signatures fetched --no-capture

sign-test: nextest ## keyless signing, which is not built otherwise, against a Sigstore of the test
	@cargo nextest run --locked -p latchkey-tests --features keyless-sign --test identities

fetched = test -d .cache/vectors/$(1) || { git init -q .cache/vectors/$(1).part && \
  git -C .cache/vectors/$(1).part fetch -q --depth 1 https://github.com/$(2) $(3) && \
  git -C .cache/vectors/$(1).part checkout -q FETCH_HEAD && \
  mv .cache/vectors/$(1).part .cache/vectors/$(1); }

.PHONY: nextest
nextest:
	@cargo nextest --version >/dev/null 2>&1 || cargo install cargo-nextest --locked

$(VENV)/installed: demo/requirements.txt
	@echo "demo: installing the official MCP SDK into $(VENV), once"
	@rm -rf $(VENV) && python3 -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r demo/requirements.txt
	@touch $@
