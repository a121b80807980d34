# Everything is set up inside .venv/ by the targets themselves; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export NXF_ANSI_LOG ?= false
# Keras writes its settings at import; they stay with the environment.
export KERAS_HOME ?= $(CURDIR)/$(VENV)/share/keras
# onnxruntime reports its use, and writes a device id into the home folder at import, unless told not to.
export ORT_DISABLE_TELEMETRY ?= 1

# What the installed package is built from, besides its Python files, which are used where they lie.
PACKAGE_SOURCES := setup.py pyproject.toml $(shell find src -name '*.cpp' -o -name '*.hpp' -o -name '*.h')
# An environment made in another folder does not work here: then its stamp is out of date.
MOVED := $(shell [ "$$(cat $(VENV)/.place 2>/dev/null)" = "$(CURDIR)" ] || echo force)

.PHONY: help setup demo test lint unit pipeline bench docs clean force

help: ## list these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 16

setup: $(VENV)/.stamp-package $(VENV)/bin/nextflow ## install what a run needs into .venv/

demo: setup ## segment example images end to end and say where the results are
	@bash demo/run.sh

test: lint ## set everything up, then lint and run all tests
	@python -m pytest $(WORKFLOW_OPTIONS)

lint: $(VENV)/.stamp-test setup ## ruff, mypy, nextflow lint and nf-core's checks
	ruff check .
	ruff format --check .
	mypy
	nextflow lint -exclude .venv -exclude work .
	@bash setup/lint_conventions.sh $(VENV)

unit: $(VENV)/.stamp-test setup ## the fast tests: unit, property and doctests
	@python -m pytest tests/unit tests/property src

pipeline: $(VENV)/.stamp-test setup ## the tests that run Nextflow
	@python -m pytest $(WORKFLOW_OPTIONS) tests/pipeline

# Those that need no other environment; the first run the pipeline or keep large files, the others work in memory.
BENCHMARKS := founding_table images_per_task small_images start_up breakdown end_to_end flat_time equal_labels slow_reads simulate
KERNEL_BENCHMARKS := bench_watershed bench_preprocess bench_blocks bench_measure memory_measure
MEASURED := results/benchmarks

bench: $(VENV)/.stamp-test $(VENV)/.stamp-plots setup ## measure speed and memory here: results/benchmarks/benchmarks.md
	@rm -rf $(MEASURED)
	@for name in $(BENCHMARKS); do \
	    python "benchmarks/$$name.py" --outdir "$(MEASURED)/$$name" --csv "$(MEASURED)/tables/$$name.csv"; \
	done
	@for name in $(KERNEL_BENCHMARKS); do python "benchmarks/$$name.py" --csv "$(MEASURED)/tables/$$name.csv"; done
	@python benchmarks/write_page.py --pictures --tables $(MEASURED)/tables --page $(MEASURED)/benchmarks.md

docs: $(VENV)/.stamp-venv ## build the documentation as a site in results/site
	@test -x $(VENV)/docs/bin/mkdocs || { python3 -m venv $(VENV)/docs && $(VENV)/docs/bin/python -m pip install --quiet --require-hashes -r requirements/docs.txt; }
	@$(VENV)/docs/bin/mkdocs build --strict --quiet
	@echo "results/site/index.html"

clean: ## remove the environment, results and caches
	rm -rf $(VENV) work results build .cache .nextflow .nextflow.log* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pytest-workflow copies the project for every workflow: the files that git tracks, or links where there is no git.
WORKFLOW_OPTIONS = $(if $(wildcard .git),--git-aware,--symlink) --stderr-bytes 4000

$(VENV)/.stamp-venv: setup/create_venv.sh $(MOVED)
	@bash setup/create_venv.sh $(VENV)
	@touch $@

$(VENV)/.stamp-base: requirements/base.txt $(VENV)/.stamp-venv
	@echo "installing requirements/base.txt"
	@$(PIP) --require-hashes -r requirements/base.txt
	@touch $@

$(VENV)/.stamp-package: $(PACKAGE_SOURCES) $(VENV)/.stamp-base
	@echo "installing the package cellbatch"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.stamp-test: requirements/test.txt $(VENV)/.stamp-package
	@echo "installing requirements/test.txt"
	@$(PIP) --require-hashes -r requirements/test.txt
	@touch $@

$(VENV)/.stamp-plots: requirements/plots.txt $(VENV)/.stamp-test
	@echo "installing requirements/plots.txt"
	@$(PIP) --require-hashes -r requirements/plots.txt
	@touch $@

ENGINE_SOURCES := $(addprefix setup/,install_nextflow.py fetch_jars.py nextflow_launcher.sh.in nextflow_jars.txt pom.xml)
ENGINE_SOURCES += requirements/java.txt requirements/jgo.txt

$(VENV)/bin/nextflow: $(ENGINE_SOURCES) $(VENV)/.stamp-venv
	@$(VENV)/bin/python setup/install_nextflow.py --venv $(VENV)
	@touch $@
