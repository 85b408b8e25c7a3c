# Every target sets up what it needs in .venv, from nothing but Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -q
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo setup test check format crash sim fuzz live docs lock clean

help:  ## Show these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Postino needs Python 3.11 or newer; say which one to use: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The program alone, for `make demo`; the developers' tools come on top for the rest.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.dev  ## Make .venv with all tools

demo: $(VENV)/.runtime  ## A whole loopback mail server, with accounts and sample mail
	@$(BIN)/postino demo $(ARGS)

test: $(VENV)/.dev  ## All tests that CI runs (at most 8 minutes on 2 cores)
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

check: $(VENV)/.dev  ## Lint, types and layers (under a minute)
	$(BIN)/ruff format --check src tests fuzz bench
	$(BIN)/ruff check src tests fuzz bench
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## Let the formatter decide
	$(BIN)/ruff format src tests fuzz bench
	$(BIN)/ruff check --fix src tests fuzz bench

crash: $(VENV)/.dev  ## Thousands of simulated power cuts (CUTS=n)
	POSTINO_CUTS=$(or $(CUTS),3000) $(BIN)/python -m pytest tests/crash -n $(JOBS) --timeout 3600 -q -rP $(ARGS)

sim: $(VENV)/.dev  ## Simulated weeks of sending (SEED=n for one, COUNT=n for many)
	$(BIN)/python -m tests.sim.many $(if $(SEED),$(SEED),--count $(or $(COUNT),200))

fuzz: $(VENV)/.dev  ## Every parser of untrusted octets, SECONDS_EACH (default 20), or the same RUNS each time
	$(BIN)/python fuzz/run.py --seconds $(or $(SECONDS_EACH),20) $(if $(RUNS),--runs $(RUNS))

docs: $(VENV)/.dev  ## The generated pages: settings
	$(BIN)/postino reference --markdown > docs/settings.md

lock: $(VENV)/.dev  ## Resolve the dependencies anew
	$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --group build --universal --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group build --group dev --universal --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o requirements-dev.lock

clean:  ## Remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

-include bench/bench.mk
