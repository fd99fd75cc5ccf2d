# The only entry. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
READY := .venv/.ready
PROJECTS := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
CODE := $(wildcard libs/*/holdfast services/*/holdfast)

.PHONY: help setup demo up test soak bench bench-large bench-peers bench-orgsim lint types imports gen check-gen

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

$(READY): requirements-bootstrap.lock requirements.lock tools/setup.sh $(PROJECTS)
	@PYTHON="$(PYTHON)" tools/setup.sh

setup: $(READY) ## install everything, pinned by hash, into .venv (nothing to do: instantaneous)

demo: setup ## a backup end to end on real parts, with proof that it is complete
	@$(BIN)/holdfast demo

up: setup ## keep the servers and all services running until Ctrl-C
	@$(BIN)/holdfast up

test: lint types imports check-gen ## everything that must pass before a merge, under 10 minutes
	@$(BIN)/pytest -m "not soak" -n 3 --dist loadgroup

soak: setup ## long fault runs
	@$(BIN)/pytest -m soak --timeout 7200

bench-peers: setup ## install the tools that we are measured against, each into an environment of its own
	@$(BIN)/python bench/environments.py

bench: bench-peers ## measure against peers and floors, under 15 minutes; one: .venv/bin/python bench/run.py B3
	@$(BIN)/python bench/run.py

bench-large: bench-peers ## the same at 1.2 and 10 million records
	@$(BIN)/python bench/run.py --large

bench-orgsim: setup ## measure the local org: pages, loading, ten million rows, writes
	@$(BIN)/python bench/orgsim_read.py
	@$(BIN)/python bench/orgsim_write.py

lint: setup ## style and formatting
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy, strict
	@$(BIN)/mypy $(CODE) conftest.py

imports: setup ## who may import whom
	@$(BIN)/lint-imports

gen: setup ## write every generated file afresh
	@$(BIN)/python tools/generate.py

check-gen: setup ## generated files are fresh, protos are clean and break no caller
	@$(BIN)/python tools/generate.py --check
	tools/check_protos.sh
