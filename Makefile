# The same short commands for a newcomer and for CI. `make` alone lists them.

PYTHON := .venv/bin/python
MESHCTL := .venv/bin/meshctl
TESTS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo hello up down test chaos conformance lint gen bench clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Set up everything in .venv and the user's cache (the others do it too)
	@scripts/setup

demo: setup  ## Start the stack and do the main job with made-up data (meshctl demo --data takes yours)
	@$(MESHCTL) demo

hello: setup  ## Start another product on the mesh, call it, show it and stop it (examples/hello)
	@$(MAKE) --no-print-directory -C examples/hello

up: setup  ## Start the stack and return when it is ready (see also meshctl --help)
	@$(MESHCTL) up --detach

down:  ## Stop the stack; its data stays
	@if [ -x $(MESHCTL) ]; then $(MESHCTL) down; fi

test: lint  ## Check everything and run every test (TESTS=path for some)
	@$(PYTHON) -m pytest $(TESTS)

chaos: setup  ## Break the mesh under load, the long way (15 minutes; `make test` has the short one)
	@CHAOS=long $(PYTHON) -m pytest tests/chaos -v -rP --timeout 900

conformance: setup  ## Run foreign conformance suites against the mesh (fetches and builds them with Go)
	@$(PYTHON) -m tests.conformance

lint: setup  ## Check style, types, layers and contracts
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports
	@$(PYTHON) scripts/contracts.py check
	@$(PYTHON) scripts/contracts.py check --project examples/hello

gen: setup  ## Generate gen/ from proto/
	@$(PYTHON) scripts/contracts.py generate
	@$(PYTHON) scripts/contracts.py generate --project examples/hello

bench: setup  ## Measure against peers; prints ratios, writes bench/results.json (takes about 10 minutes)
	@$(PYTHON) -m bench

clean: down  ## Stop the stack, remove its data and .venv (the user's cache stays)
	rm -rf .run .venv .build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
