# Needs Python 3.11 to 3.14, git and make; everything else comes from the package index.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
# A pyenv shim answers `command -v` for versions that are not there, so each candidate is run.
PYTHON := $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,14))' 2>/dev/null && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help run test markets wire check format bench evaluation mutants lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run ## set up, then the whole system on real market data, offline
	@# On a terminal it gets a process group of its own: Ctrl-C is for it, not for make.
	@if [ -t 0 ]; then set -m; fi; $(BIN)/evertrain up --demo; exit $$?

test: check markets wire ## set up, lint, types, import contracts and every test
	@$(BIN)/pytest -n 2 --dist loadgroup

# ccxt pins what others use, and nats-py imports its aiohttp into every process: a place of its own.
markets: $(VENV)-markets/.done ## the real clients of exchanges against servers on this machine
	@$(VENV)-markets/bin/pytest tests/markets

# Another team's client of NATS. It is no reason to fail: its tests say why they are skipped.
wire: tests/wire/node_modules/.package-lock.json ## the npm client of NATS, for tests/wire
tests/wire/node_modules/.package-lock.json: tests/wire/package-lock.json
	@npm ci --prefix tests/wire --no-audit --no-fund --loglevel=error $(NPMFLAGS) >&2 \
		|| echo "npm cannot be had, or cannot install: tests/wire will be skipped." >&2

# By default a registry that is out of reach is waited for, for minutes.
NPMFLAGS := --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000

check: $(VENV)/.dev ## lint, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite the code in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## the benchmarks, each beside its yardstick
	@$(BIN)/python -m tests.benchmarks

evaluation: $(VENV)/.dev ## how good forecasts and signals are: docs/evaluation.md, in ten minutes
	@$(BIN)/python -m tests.benchmarks.evaluation

mutants: $(VENV)/.dev ## take out the guards one by one: a test must notice each
	@$(BIN)/python -m tests.mutations

lock: ## resolve the dependencies anew (needs uv)
	@for extra in scheduler trainer predictor gateway; do \
		uv pip compile -q $(UVFLAGS) --extra $$extra pyproject.toml -o requirements/$$extra.lock; done
	@uv pip compile -q $(UVFLAGS) --extra all pyproject.toml -o requirements/run.lock
	@uv pip compile -q $(UVFLAGS) --extra all --group dev pyproject.toml -o requirements/dev.lock
	@uv pip compile -q $(UVFLAGS) --extra scheduler --extra ccxt --extra yfinance \
		pyproject.toml -o requirements/scheduler-markets.lock
	@uv pip compile -q $(UVFLAGS) --extra scheduler --extra ccxt --extra yfinance --group markets \
		pyproject.toml -o requirements/markets.lock
UVFLAGS := --universal --generate-hashes --no-emit-index-url --no-annotate --no-header -p 3.11 $(LOCKFLAGS)

$(VENV)-markets/.done: pyproject.toml requirements/markets.lock | $(BIN)/python
	@$(BIN)/python -m venv --without-pip $(VENV)-markets
	@$(BIN)/python -m pip --disable-pip-version-check --python $(VENV)-markets/bin/python \
		install --quiet --no-compile --require-hashes -r requirements/markets.lock
	@touch $@

clean: ## remove what was set up
	rm -rf $(VENV) $(VENV)-markets tests/wire/node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Evertrain needs Python 3.11, 3.12, 3.13 or 3.14 on the PATH." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || $(PYTHON) -m venv --without-pip $(VENV) \
		&& { $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }

$(VENV)/.run: pyproject.toml requirements/run.lock | $(BIN)/python
	@echo "Installing (once; a download of about 220 MB)..."
	@$(PIP) --require-hashes -r requirements/run.lock
	@$(PIP) --no-deps -e .
	@touch $@

$(VENV)/.dev: pyproject.toml requirements/dev.lock $(VENV)/.run
	@$(PIP) --require-hashes -r requirements/dev.lock
	@touch $@
