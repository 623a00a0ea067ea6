# Needs make, a package index and Python >= 3.11 with venv; everything else is installed into .venv.
#   make test       ruff, mypy, pytest (the project's one test command; CI runs it)
#   make test-all   the same with the slow tests, most of an hour
#   make figures    all figures at the quick preset, with their self-checks, into figures/
#   make notebooks  the notebooks, executed, into build/notebooks/
#   make docs       the site, with the figures and notebooks above, into build/site/
# OPAL_DATA_MIRROR, where set, is a folder that is read instead of downloading the real data.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PRESET ?= quick
OUT ?= figures
# Most of a quick study and of a test is compilation, which uses one core.
JOBS ?= 2
# Empty, it changes no more of the lock than pyproject.toml asks for.
UPGRADE ?= --upgrade
PYTEST = $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# The version that the figures were checked with comes first; a candidate counts only if it runs
# (a pyenv shim may not) and can make an environment with pip (Debian packages that apart).
CANDIDATES := $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python)
# One build of torch fits one machine: the lock has all but it, and so is installed without
# dependencies. It is asked for as in the extra text; an open version can fetch gigabytes of others.
TORCH := torch==2.13.0
WITHOUT_TORCH := torch ; sys_platform == "never"
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help install test test-all pytest lint style types figures notebooks docs benchmarks lock clean

help:
	@sed -n 's/^#   //p' Makefile
	@echo "also: install, lint, benchmarks, lock, clean"

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@set -e; found=; \
	for python in $(CANDIDATES); do \
	  if $$python -c '$(USABLE)' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "error: no Python >= 3.11 with venv and ensurepip among: $(CANDIDATES)." >&2; \
	  echo "Install one (on Debian also its python3-venv), or name it: make PYTHON=/path/to/python" >&2; \
	  exit 2; \
	fi; \
	[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || $$found -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

lint: style types

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# Types are checked beside the tests, which do not use both cores all the time.
test: style
	@$(MAKE) --no-print-directory -j 2 types pytest CHOSEN='-m "not slow"'

test-all: style
	@$(MAKE) --no-print-directory -j 2 types pytest

pytest: $(STAMP)
	$(PYTEST) $(CHOSEN)

figures: $(STAMP)
	$(BIN)/opal figures --preset $(PRESET) --out $(OUT) --workers $(JOBS)

NOTEBOOKS := $(patsubst notebooks/%.py,build/notebooks/%.ipynb,$(wildcard notebooks/*.py))
SOURCES := $(shell find opal simulations paper_figures -name '*.py')

notebooks: $(NOTEBOOKS)

# Executed anew where it or the package has changed.
build/notebooks/%.ipynb: notebooks/%.py $(SOURCES) | $(STAMP)
	@mkdir -p $(@D)/part
	$(BIN)/jupytext --quiet --to ipynb --output $(@D)/part/$(@F) $<
	$(BIN)/jupyter-execute --inplace $(@D)/part/$(@F)
	@mv $(@D)/part/$(@F) $@

# Cells of studies that are there are not computed again; a figure whose check fails is shown as one.
docs: $(NOTEBOOKS) $(STAMP)
	$(BIN)/opal figures --preset $(PRESET) --out $(OUT) --workers $(JOBS) || [ $$? -eq 1 ]
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -D gallery_figures=$(abspath $(OUT)) docs build/site

benchmarks: $(STAMP)
	@set -e; for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file; done

# uv resolves for every platform and Python version at once; the lock then installs with plain pip.
lock: $(STAMP)
	@mkdir -p build; echo '$(WITHOUT_TORCH)' >build/without-torch.txt
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	  --extra dask --extra tabular --extra text --extra notebooks --extra docs --extra dev --no-annotate $(UPGRADE) \
	  --override build/without-torch.txt --no-emit-package torch \
	  --custom-compile-command "make lock" --output-file requirements.lock

clean:
	rm -rf $(VENV) figures build dist .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
