# Two commands matter to a newcomer: make demo, make test.
SHELL := /bin/bash
PY := .venv/bin/python
# No test waits for ever: what hangs fails, with every thread's stack.
PYTEST := $(PY) -m pytest -q --timeout 300
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help setup setup-dev demo test test-long bench lint check devnet contracts locks clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/|/' | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

setup:
	@scripts/setup

setup-dev:
	@scripts/setup --dev
	@scripts/system-packages

demo: setup  ## the whole story on a local devnet with real processes (DEMO_KEEP=1 keeps it running)
	@$(PY) -m node.app demo --out build/demo $(if $(DEMO_KEEP),--keep,)

devnet: setup  ## anvil with the contracts deployed and funded accounts
	@$(PY) -m node.app devnet

lint: setup-dev
	@ruff check .
	@ruff format --check .
	@mypy keys channels contracts node tests scripts

check: lint  ## lint, types, shape, artifacts
	@scripts/build_contracts --check
	@$(PYTEST) tests/architecture

# The Solidity tests compile for minutes on one core, the networks of processes mostly wait: they run beside each other.
test: lint  ## everything a change must pass
	@mkdir -p build; scripts/forge test > build/forge-test.log 2>&1 & solidity=$$!; \
	$(PYTEST) -n 3 --dist loadfile -m "not long" tests; python=$$?; \
	wait $$solidity; solidity=$$?; grep -E '^\[FAIL|^Ran [0-9]+ test suites|Error' build/forge-test.log || tail -n 40 build/forge-test.log; \
	echo "excluded: tests marked long; make test-long runs them"; exit $$(( python | solidity ))

test-long: check  ## the same with long settings
	@FOUNDRY_PROFILE=long scripts/forge test
	@$(PYTEST) -n 2 --dist loadfile tests
	@if $(PY) -c 'import atheris' 2>/dev/null; then scripts/fuzz; \
	else echo "excluded: fuzzing guided by coverage, atheris is for x86-64 Linux"; fi

bench: setup-dev  ## measurements beside their anchors, in build/bench.json
	@$(PY) scripts/bench

contracts: setup-dev  ## rebuild artifacts and bindings
	@scripts/build_contracts

locks:  ## resolve the pinned dependencies again
	@scripts/lock

clean:  ## forget what was built, keep what was installed
	rm -rf build
