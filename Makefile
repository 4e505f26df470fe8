# devbox-gateway: every task is one command; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE := $(or $(DEVBOX_GATEWAY_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/devbox-gateway)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The gateway out of its own image: what is tested is what is shipped. In front of a command.
SHIPPED = root=$$($(BIN)/python -m devbox_cluster image-root) && IMAGE_ROOT=$$root
# The same for several commands.
ALL_SHIPPED = root=$$($(BIN)/python -m devbox_cluster image-root); export IMAGE_ROOT=$$root
IMAGE_PYTHON := 3.13
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
	@cd requirements && for f in bootstrap runtime compiler dev agents bench demo-agent demo-anthropic1 devbox sdks tools tools-registries; do \
	  $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make requirements" $$f.in -o $$f.txt; done; \
	  $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --override agents-aider.overrides --custom-compile-command "make requirements" agents-aider.in -o agents-aider.txt; \
	  $(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make requirements" client.in -o client.txt; \
	  $(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make requirements" client-tests.in -o client-tests.txt

.PHONY: manifests
manifests: venv ## Write the CRDs (crds/*.yaml and the chart's copies) and docs/conditions.md from the models
	@$(BIN)/python crds/generate.py

.PHONY: tools
tools: venv ## Get helm and kubectl (built from pinned Go modules)
	@$(BIN)/python -m devbox_cluster tools

.PHONY: changelog
changelog: venv ## What the next release brings (VERSION=0.2.0 writes it into CHANGELOG.md, for a release)
	@$(BIN)/towncrier build $(if $(VERSION),--yes --version $(VERSION),--draft --version next)

.PHONY: format
format: venv ## Format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

.PHONY: lint
lint: venv tools ## Formatter, linter, strict types, layers, manifests up to date, chart
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/mypy --python-version 3.10 client/devbox_gateway
	@$(BIN)/lint-imports
	@$(BIN)/python crds/generate.py --check
	@helm lint --strict --quiet charts/devbox-gateway --set image.repository=localhost/devbox-gateway

.PHONY: unit
unit: venv tools ## Unit tests: no cluster, some minutes
	@$(BIN)/pytest -q -n auto tests/unit

# Processes of their own run out of the image in attacks, fuzz, chaos and sdks.
COMPILED := $(patsubst %,tests/unit/proxy/test_%.py,addresses base_paths client_hello compiled connect_head credentials current dialling egress exchange \
  exchange_limits exchange_websockets guard heads mistaken redact rest_times resting rules targets twins upstream) tests/unit/client/explain tests/unit/common/test_clock.py

# What these take of the server's packages, or of its tests, needs its Python.
NOT_ON_OLDEST := $(patsubst %,tests/unit/client/%,explain $(patsubst %,test_%.py,audit authorities credentials doctor naming session waiting \
  wheel wrong_types))
PYTHON310 ?= python3.10

.PHONY: client-oldest
client-oldest: venv ## The client's unit tests on the oldest Python that it names (PYTHON310=…)
	@$(UV) venv --quiet --clear --python $(PYTHON310) .client-oldest
	@$(UV) pip sync --quiet --require-hashes --python .client-oldest/bin/python requirements/client-tests.txt
	@PYTHONPATH=client:crds:cluster:demo:common .client-oldest/bin/python -m pytest -q -n auto --noconftest -p no:cacheprovider \
	  tests/unit/client $(addprefix --ignore=,$(NOT_ON_OLDEST)) --deselect tests/unit/client/cli/test_frame.py::test_help_is_quick

PYTHONS ?= python3.12 python3.13 python3.14

.PHONY: unit-on
unit-on: venv tools ## The unit tests on other Pythons, one after another (PYTHONS="python3.14 …", names or paths)
	@failed=; for python in $(PYTHONS); do echo "== $$python"; \
	  $(UV) venv --quiet --clear --python "$$python" .unit-on && \
	  $(UV) pip sync --quiet --require-hashes --python .unit-on/bin/python requirements/dev.txt requirements/bootstrap.txt && \
	  $(UV) pip install --quiet --python .unit-on/bin/python --no-deps --no-build-isolation -e . && \
	  PATH="$(CURDIR)/.unit-on/bin:$$PATH" .unit-on/bin/python -m pytest -q -n auto -p no:cacheprovider tests/unit || failed="$$failed $$python"; done; \
	  if [ "$$failed" ]; then echo "failed on:$$failed"; exit 1; fi

.PHONY: client-dist
client-dist: venv ## The client as it is published: sdist and wheel in dist/client
	@rm -rf dist/client && cd client && ../$(BIN)/python -m hatchling build -d ../dist/client

# mypyc (mypy 2.4) ends a coroutine in a way that Python 3.12 and newer deprecate.
MYPYC_WARNING := ignore:the (type, exc, tb) signature of throw() is deprecated:DeprecationWarning

.PHONY: unit-compiled
unit-compiled: venv ## The unit tests of the gateway's data path once more, compiled, by the image's own Python
	@$(UV) pip install --quiet --python $(BIN)/python --python-version $(IMAGE_PYTHON) --target .image-packages --only-binary :all: \
	  --require-hashes -r requirements/dev.txt
	@$(SHIPPED) $(BIN)/python -m tests.support.netns $(BIN)/python -m tests.support.image_root \
	  -m pytest -q -n auto -W "$(MYPYC_WARNING)" -m "not interpreted" $(COMPILED)

.PHONY: attacks
attacks: venv ## The attack corpus against a real gateway process (ATTACKS=file.yaml for another)
	@$(ALL_SHIPPED); failed=0; for file in $(or $(ATTACKS),$(CORPUS) tests/attacks/tunnels.yaml); do \
	  $(BIN)/python -m tests.attacks $$file || failed=1; done; exit $$failed

CORPUS := tests/attacks/more.yaml tests/attacks/attacks.yaml

# Cases that are judged by time or memory: on a machine that does something else meanwhile they say nothing.
TIMED := CH-20|UP-15|UP-22|WS-06|WS-07|DS-.*

.PHONY: attacks-untimed
attacks-untimed: venv ## The attack corpus less the cases that are judged by time or memory
	@$(ALL_SHIPPED); failed=0; for file in $(CORPUS); do \
	  $(BIN)/python -m tests.attacks $$file $$(sed -n 's/^- id: //p' $$file | grep -vxE '$(TIMED)') || failed=1; done; exit $$failed

.PHONY: fuzz
fuzz: venv ## Mutated requests against a real gateway process (N=200000 SEED=…)
	@$(SHIPPED) $(BIN)/python -m tests.fuzz $(or $(N),200000) $(or $(SEED),$$RANDOM)

.PHONY: fuzz-short
fuzz-short: venv ## A few thousand of them, always the same
	@$(SHIPPED) $(BIN)/python -m tests.fuzz 5000 1

.PHONY: chaos
chaos: venv ## Faults of APIs, clients, the cluster and the gateway itself, in full (CASES="rolling memory")
	@$(SHIPPED) $(BIN)/python -m tests.chaos $(CASES)

.PHONY: chaos-short
chaos-short: venv ## Short forms of the same
	@$(BIN)/python -m tests.chaos.needs
	@$(SHIPPED) $(BIN)/python -m tests.support.netns $(BIN)/pytest -q -n 4 --dist loadgroup tests/chaos

.PHONY: probes
probes: venv cluster images ## Confinement by packets, in full: what leaves devboxes is counted where it arrives (ONLY="direct births")
	@$(BIN)/python -m tests.probes $(ONLY)

.PHONY: sdks
sdks: venv ## The real SDKs, curl and git through a gateway process (ONLY="openai and stream")
	@$(BIN)/python -m tests.sdks.environments
	@$(SHIPPED) $(BIN)/python -m tests.support.netns $(BIN)/pytest -q tests/sdks $(if $(ONLY),-k "$(ONLY)")

.PHONY: bench
bench: venv ## The gateway beside nginx, Envoy and aiohttp in one run (QUICK=1 for rough figures)
	@$(UV) pip install --quiet --require-hashes --python $(BIN)/python -r requirements/bench.txt
	@$(SHIPPED) $(BIN)/python -m bench $(if $(QUICK),--quick)
	@$(SHIPPED) $(BIN)/python -m bench.tunnel $(if $(QUICK),--quick)

.PHONY: bench-tunnel
bench-tunnel: venv ## The forward proxy's tunnels beside tinyproxy in one run (QUICK=1 for rough figures)
	@$(UV) pip install --quiet --require-hashes --python $(BIN)/python -r requirements/bench.txt
	@$(SHIPPED) $(BIN)/python -m bench.tunnel $(if $(QUICK),--quick)

.PHONY: bench-memory
bench-memory: venv ## Memory and scale of the gateway process beside their bars (QUICK=1, GIB=10, ONLY="idle start")
	@$(UV) pip install --quiet --require-hashes --python $(BIN)/python -r requirements/bench.txt
	@$(SHIPPED) $(BIN)/python -m bench.memory $(if $(QUICK),--quick) $(if $(GIB),--gib $(GIB)) $(foreach part,$(ONLY),--only $(part))

.PHONY: bench-operator
bench-operator: venv tools ## The operator at 20 devboxes a second and with thousands, beside the demands (QUICK=1)
	@$(BIN)/python -m bench.operator_scale $(if $(QUICK),--quick)

.PHONY: bench-large
bench-large: venv tools ## What large objects cost operator and gateway at a start, beside the bars (QUICK=1)
	@$(BIN)/python -m bench.large_objects $(if $(QUICK),--quick)

.PHONY: bench-searching
bench-searching: venv ## What searching APIs' answers for the credential costs, and what other devboxes feel of it (QUICK=1)
	@$(SHIPPED) $(BIN)/python -m bench.searching $(if $(QUICK),--quick)

.PHONY: bench-cloning
bench-cloning: venv ## A large repository cloned through the gateway and directly, and the gateway's memory (QUICK=1)
	@$(SHIPPED) $(BIN)/python -m bench.cloning $(if $(QUICK),--quick)

.PHONY: helm-oldest
helm-oldest: venv tools ## The chart by the oldest Helm that docs/install.md names (built from a pinned Go module)
	@oldest=$$($(BIN)/python -m devbox_cluster oldest-helm) && DEVBOX_OLDEST_HELM=$$oldest $(BIN)/pytest -q tests/unit/charts/test_oldest_helm.py

.PHONY: long
long: venv ## What is too long for `test`, alone on a machine, with figures kept in docs/results (ONLY="attacks chaos"); hours
	@$(BIN)/python -m tests.long $(ONLY)

.PHONY: cluster
cluster: venv ## A local Kubernetes: kind with a Docker engine, else the real components built from Go modules
	@$(BIN)/python -m devbox_cluster up

.PHONY: cluster-down
cluster-down: venv ## Remove the local Kubernetes: processes, mounts, network namespaces, rules
	@$(BIN)/python -m devbox_cluster down

.PHONY: images
images: venv ## Build the images (REGISTRY=… PUSH=1 to push them)
	@$(BIN)/python -m devbox_cluster images $(if $(REGISTRY),--registry $(REGISTRY)) $(if $(PUSH),--push)

.PHONY: sbom
sbom: venv ## The list of what is inside the gateway's image, SPDX as JSON, in dist/
	@$(BIN)/python -m devbox_cluster sbom

# By themselves: they take gateways and routes away from whoever else is there, or make twenty devboxes at once, whose NetworkPolicies come
# into force later than devbox-init waits where the node is busy with others'; or make a second release, beside which the first one may not be
# upgraded.
ALONE := $(patsubst %,tests/integration/test_%.py,examples_python packets canary install)

.PHONY: integration
integration: venv cluster images ## The claims of the README as assertions, on the local cluster
	@$(BIN)/pytest -q -n 3 --dist loadfile tests/integration $(addprefix --ignore=,$(ALONE))
	@$(BIN)/pytest -q $(ALONE)

.PHONY: client-large
client-large: venv cluster images ## A GiB through the Python client, both ways, on the local cluster
	@CLIENT_BYTES=1073741824 $(BIN)/pytest -q -rP tests/integration/test_client_images.py -k large

.PHONY: e2e
e2e: integration ## The same as integration

.PHONY: test
test: venv tools ## Everything: lint, unit, attacks, short fuzz and chaos, SDKs, integration (sets up what it needs)
	@$(BIN)/python -m tests.stages

.PHONY: demo
demo: venv ## The main job from nothing: cluster, images, install, agents that use APIs without their keys
	@$(BIN)/python -m devbox_demo

.PHONY: agents
agents: venv ## Agents as their registries give them, each at work in a devbox of its own (ONLY="codex aider"); minutes
	@$(BIN)/python -m tests.agents $(ONLY)

.PHONY: clean
clean: ## Remove what this work tree made (not the cluster: see cluster-down)
	@rm -rf $(VENV) .client-oldest .unit-on .image-packages .cluster .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .demo dist
