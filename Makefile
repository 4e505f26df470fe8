# devbox-gateway: every task is one command; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE := $(or $(DEVBOX_GATEWAY_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/devbox-gateway)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := UV_CACHE_DIR=$(CACHE)/uv $(CURDIR)/$(BIN)/uv
export DEVBOX_GATEWAY_CACHE := $(CACHE)
export PATH := $(CURDIR)/$(BIN):$(CACHE)/bin:$(PATH)

.PHONY: help
help: ## List the commands
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(VENV)/.ready ## Make the Python environment (pinned, with hashes)

$(VENV)/.ready: requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@echo "python environment: $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(UV) pip sync --quiet --require-hashes --python $(BIN)/python requirements/dev.txt requirements/bootstrap.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: requirements
requirements: ## Pin the dependencies anew from requirements/*.in
	@cd requirements && for f in bootstrap runtime dev; do \
	  $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make requirements" $$f.in -o $$f.txt; done
