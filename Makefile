# Everything that is run in this repository. `make help` lists it; the first run of a target sets up
# what it needs under .build (devkit/setup), later runs find it there.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ROOT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
BUILD := $(ROOT)/.build
VENV := $(BUILD)/venv/bin
BIN := $(BUILD)/bin

# Arguments for the program that a target runs: make test ARGS="-k revert -x"
ARGS ?=

# The Python that the environment is made from: the first that is new enough. Looked up here, before our
# own environment comes onto PATH.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$python && break; done)
endif

# The built programs come first. Pulumi keeps to a home of its own, asks for no updates, and never goes
# looking for plugins on the network.
export PATH := $(VENV):$(BIN):$(PATH)
export PULUMI_HOME := $(BUILD)/pulumi-home
export PULUMI_SKIP_UPDATE_CHECK := true
export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION := true

# Hundreds of processes of Python are started by the tests: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# $(call setup,PARTS): a recipe line that makes the parts, or says nothing if they are there.
ifeq ($(PYTHON),)
setup = @echo "This needs Python 3.11 or newer as python3 on PATH (found: $(shell python3 --version 2>&1)); or name one: make PYTHON=/path/to/python3.12" >&2; exit 1
else
setup = @cd "$(ROOT)" && $(PYTHON) -m devkit.setup $(1)
endif

.PHONY: help
help: ## List the targets
	@echo "usage: make TARGET [ARGS=...]"
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## /\1\t/p' "$(ROOT)/Makefile" | while IFS='	' read -r target what; do \
		printf '  %-15s %s\n' "$$target" "$$what"; done

# Examples of each target of make fuzz
EXAMPLES ?= 20000

# The demo's platform: make demo BACKEND=vmoperator
BACKEND ?= vsphere

.PHONY: demo
demo: ## Snapshot, change, revert and destroy VMs with the real Pulumi engine (BACKEND=vmoperator: another platform)
	$(call setup,python pulumi simulator govc $(if $(filter vmoperator,$(BACKEND)),apiserver crds))
	@cd "$(ROOT)" && python -m tools.demo $(BACKEND) $(ARGS)

.PHONY: playground
playground: ## Open a shell with a vSphere simulator, a login and a stack to play with; no vCenter is needed
	$(call setup,python pulumi simulator govc)
	@cd "$(ROOT)" && python -m tools.playground

.PHONY: test
test: ## Run all tests (ARGS: arguments of pytest)
	$(call setup,python pulumi language-hosts codegen property-path simulator govc archive apiserver crds recordings examples python-program typescript-program go-program)
	@cd "$(ROOT)" && python -m pytest -n auto --dist worksteal $(ARGS)

.PHONY: test-fast
test-fast: ## Run the fast half of the tests: no engine, no API server, a minute (ARGS: arguments of pytest)
	$(call setup,python simulator crds recordings)
	@cd "$(ROOT)" && python -m pytest -n auto --dist worksteal -m fast $(ARGS)

.PHONY: test-simulator
test-simulator: ## Run the simulator's own tests (ARGS: arguments of go test)
	$(call setup,python go)
	@cd "$(ROOT)/simulator" && go test $(ARGS) ./...

.PHONY: test-kubernetes
test-kubernetes: ## Run the example with the real pulumi-kubernetes, which takes 10 to 20 minutes to build, once
	$(call setup,python pulumi simulator apiserver crds examples pulumi-kubernetes)
	@cd "$(ROOT)" && python -m pytest tests/examples/real_pulumi_kubernetes.py $(ARGS)

.PHONY: test-java
test-java: ## Run the Java example, and compile what the documentation has in Java; Java and Maven must be on PATH
	$(call setup,python pulumi simulator java-host java-program)
	@cd "$(ROOT)" && python -m pytest tests/sdk/real_java.py $(ARGS)

.PHONY: fuzz
fuzz: ## Feed made-up requests, trees, kubeconfigs and answers to what reads them (EXAMPLES of each: 20000)
	$(call setup,python)
	@cd "$(ROOT)" && FUZZ="$(EXAMPLES)" python -m pytest -n auto tests/fuzz $(ARGS)

# How many runs of make faults on each platform (all: thousands, hours), and what draws them. What .build/faults has of
# the same source isn't run again: a series that was stopped goes on, several with different seeds add up.
COUNT ?= all
SEED ?= 1

.PHONY: faults
faults: ## Spoil each exchange of each verb in each way (COUNT=800 SEED=2: some), for docs/failure-recovery.md
	$(call setup,python simulator apiserver crds)
	@cd "$(ROOT)" && FAULTS_RECORD=1 FAULTS_COUNT="$(COUNT)" FAULTS_SEED="$(SEED)" \
		FAULTS_VMOPERATOR_COUNT="$(COUNT)" \
		python -m pytest -n auto --dist worksteal tests/faults -k spoiled_exchange $(ARGS)
	@cd "$(ROOT)" && python -m tools.fault_matrix

.PHONY: kills
kills: ## Kill plugins, engines and connections at random instants (ARGS="--count 500 --seed 1")
	$(call setup,python simulator)
	@cd "$(ROOT)" && python -m tests.faults.kills $(ARGS)

.PHONY: soak
soak: ## Take, revert and delete 1,000 times in one plugin, and print what it holds (ARGS="--lives 200": fewer)
	$(call setup,python simulator)
	@cd "$(ROOT)" && python -m tests.soak.soak $(ARGS)

.PHONY: lint
lint: ## Check style, types, layers, spelling, Go code, and that generated files are up to date
	$(call setup,python pulumi codegen)
	@cd "$(ROOT)" && sh tools/lint.sh

.PHONY: format
format: ## Format the code and mend what can be mended by itself
	$(call setup,python go)
	@cd "$(ROOT)" && ruff check --fix --exit-zero && ruff format && gofmt -w simulator tools examples

.PHONY: schema
schema: ## Make schema.json from the model, and the plugin's own copy
	$(call setup,python)
	@cd "$(ROOT)" && python -m vmsnapshot.model.schema > "$(BUILD)/schema.json" && mv "$(BUILD)/schema.json" schema.json
	@cd "$(ROOT)" && cp schema.json provider/src/vmsnapshot/model/schema.json
	@echo "schema.json is up to date"

.PHONY: codegen
codegen: schema ## Make schema.json, and the SDKs in sdk/ from it
	$(call setup,codegen)
	@cd "$(ROOT)" && sh tools/codegen.sh sdk
	$(call setup,python)

.PHONY: bench
bench: ## Measure time, calls and memory beside a bare pyVmomi script (ARGS=create-200: one; ARGS=--table: as tables)
	$(call setup,python pulumi simulator)
	@cd "$(ROOT)" && python -m tests.bench $(ARGS)

.PHONY: build
build: ## Make what is published, in dist/, and try it: archive, wheels, sdists, npm tarball, Go module
	$(call setup,python archive npm go codegen)
	@cd "$(ROOT)" && python -m tools.build $(ARGS)

.PHONY: picture
picture: ## Run a real preview, and put its text and its picture into docs/
	$(call setup,python pulumi simulator govc picture)
	@cd "$(ROOT)" && "$(BUILD)/picture/bin/python" -m tools.picture

.PHONY: walk
walk: ## Roll an environment back, and put what was printed into docs/
	$(call setup,python pulumi simulator govc)
	@cd "$(ROOT)" && python -m tools.walk

.PHONY: install
install: ## Set up everything, and say how to use it from this shell
	$(call setup,python pulumi simulator govc)
	@echo "Everything is in .build. To use it from this shell:"
	@echo "  export PATH=\"$(VENV):$(BIN):\$$PATH\""

.PHONY: lock
lock: ## Remake the locks in requirements/ (ARGS=--upgrade takes newer versions)
	$(call setup,node)
	@cd "$(ROOT)" && ARGS="$(ARGS)" sh tools/lock.sh

.PHONY: clean
clean: ## Remove all that was built (what pip, uv and Go cache for themselves stays)
	@cd "$(ROOT)" && rm -rf .build dist .coverage .coverage.* .grimp_cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@cd "$(ROOT)" && find . -path ./.git -prune -o \( -name __pycache__ -o -name '*.egg-info' \) -type d -prune -exec rm -rf {} +
