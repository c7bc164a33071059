# Two commands matter to a newcomer: make demo, make test.
SHELL := /bin/bash
PY := .venv/bin/python
# No test waits for ever: what hangs fails, with every thread's stack.
PYTEST := $(PY) -m pytest -q --timeout 300
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help setup setup-dev setup-proof demo test test-long bench lint check proofs coverage devnet contracts locks clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/|/' | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

setup:
	@scripts/setup

setup-dev:
	@scripts/setup --dev
	@scripts/system-packages

setup-proof: setup-dev
	@scripts/setup --proof

demo: setup  ## the whole story on a local devnet with real processes (DEMO_KEEP=1 keeps it running)
	@$(PY) -m node.app demo --out build/demo $(if $(DEMO_KEEP),--keep,)

devnet: setup  ## anvil with the contracts deployed and funded accounts
	@$(PY) -m node.app devnet

lint: setup-dev
	@ruff check .
	@ruff format --check .
	@mypy keys channels contracts node tests scripts

proofs: setup-proof  ## the contracts looked through by Slither, their short proofs by Halmos
	@scripts/slither
	@scripts/halmos --match-test '^check_(?!long)'

coverage: setup-dev  ## lines and branches of the contracts that their tests reach (minutes)
	@scripts/coverage

check: lint  ## lint, types, shape, artifacts
	@scripts/build_contracts --check
	@$(PYTEST) tests/architecture

test: setup-proof  ## everything a change must pass
	@scripts/run_tests

test-long: check proofs  ## the same with long settings
	@scripts/halmos --match-test '^check_long'
	@seed=$$(od -An -N8 -tx8 /dev/urandom | tr -d ' '); echo "fuzzing the contracts with the seed 0x$$seed"; \
	FOUNDRY_PROFILE=long FOUNDRY_FUZZ_SEED=0x$$seed scripts/forge test
	@$(PYTEST) -n 2 --dist loadfile -m "not alone" tests
	@$(PYTEST) -m alone tests
	@if $(PY) -c 'import atheris' 2>/dev/null; then scripts/fuzz; \
	else echo "excluded: fuzzing guided by coverage, atheris is for x86-64 Linux"; fi

bench: setup-dev  ## measurements beside their anchors, in build/bench.json; fails where a bound is missed
	@$(PY) scripts/bench

contracts: setup-dev  ## rebuild artifacts and bindings
	@scripts/build_contracts

locks:  ## resolve the pinned dependencies again
	@scripts/lock

clean:  ## forget what was built, keep what was installed
	rm -rf build
