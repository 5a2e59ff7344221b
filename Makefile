# The tasks of this repository. Each target installs what it needs into .venv, from requirements.lock.

PYTHON ?= python3
UV := 0.13.9
# Each other interpreter has an environment of its own: make test PYTHON=python3.13
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
INSTALLED := $(VENV)/installed
TOOLBOX := tools/venv/installed
SNAKEMAKE := plugins/snakemake-storage-plugin-cavatica
export PATH := $(CURDIR)/$(VENV)/bin:$(CURDIR)/tools/venv/bin:$(CURDIR)/tools/node_modules/.bin:$(PATH)

# The tools do not look for updates and do not report their use.
export REDOCLY_TELEMETRY := off
export REDOCLY_SUPPRESS_UPDATE_NOTICE := true

# As typed: a file name may have a dollar, which make would take for a variable, or quotes.
override export FILE := $(value FILE)
override export SPEC := $(value SPEC)
override export OLD := $(value OLD)
override export UPSTREAM := $(value UPSTREAM)
override export VERSION := $(value VERSION)
override export BREAKING := $(value BREAKING)
override export CHECKS := $(value CHECKS)
override export PORT := $(value PORT)

# For the scripts that run targets. $(MAKE) in a recipe would run it with `make -n`, too.
export MAKE

ifeq ($(shell command -v $(PYTHON)),)
$(error PYTHON=$(PYTHON) is not installed. Name a Python that is: make … PYTHON=python3.13)
endif

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(MAKEFILE_LIST))

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## Set up .venv with both packages, the mock and the tools

$(INSTALLED): requirements.lock pyproject.toml generated/pyproject.toml src/cavatica_upload/md5/lanes.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e ./generated -e .
	@touch $@

demo: install  ## Upload a file to a mock and compare the MD5s: make demo [FILE=some.bam]
	@python tests/demo.py

test: install  ## Run every test: make test [PYTHON=python3.13]
	@pytest -n 2 --dist loadgroup

coverage: install  ## Run the tests of src/, and show what they do not cover: make coverage [TESTS=tests/engine]
	@rm -f .coverage* && coverage run -m pytest -n 2 --dist loadgroup $(or $(TESTS),tests --ignore=tests/toolbox) && \
	coverage combine --quiet && coverage report

test-lowest:  ## Run every test with the lowest versions that pyproject.toml allows, in .venv-lowest
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check uv==$(UV)
	.venv-lowest/bin/uv pip compile pyproject.toml --extra dev --resolution lowest-direct --quiet --no-header \
	    --no-annotate --no-emit-package cavatica-client -o .venv-lowest/requirements.txt
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -r .venv-lowest/requirements.txt
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check --no-deps -e ./generated -e .
	.venv-lowest/bin/pytest -n 2 --dist loadgroup $(TESTS)

contract: install  ## Test a server against the contract: make contract [BASE_URL=… TOKEN=… PROJECT=…] [SEED=random]
	@python -m tests.contract run

contract-live: install  ## The same on a live platform, carefully: make contract-live PROJECT=owner/name [BASELINE=keep]
	@python -m tests.contract live

mutants: install  ## Check that the contract suite catches broken servers: make mutants [BEHIND=nginx]
	@python -m tests.contract mutants

drift: install  ## Upload to servers whose answers differ from the contract, one difference at a time
	@python tests/cli/drift_matrix.py

bench: install  ## Measure against the vendor's client, side by side
	@python -m bench

mock: install  ## Serve the mock: make mock [PORT=8080]
	@cavatica-mock serve --port "$${PORT:-8080}"

# An unchanged pyproject.toml keeps its time, so that nothing is installed again. The cache of mypy is wrong after a rename.
generate: install  ## Write generated/ and the uploader's contract.json from openapi.yaml
	@rm -rf .generated && mkdir .generated && trap 'rm -rf .generated' EXIT && \
	{ python tools/generate.py openapi.yaml .generated || \
	    { echo "No client can be generated from openapi.yaml; nothing was changed." >&2; exit 1; }; } && \
	{ ! cmp -s generated/pyproject.toml .generated/generated/pyproject.toml || \
	    touch -r generated/pyproject.toml .generated/generated/pyproject.toml; } && \
	mv generated .generated/before && mv .generated/generated generated && \
	mv .generated/contract.json src/cavatica_upload/api/contract.json && \
	rm -rf .mypy_cache && echo "generated/ is written"

check-generated: install  ## Fail if generated/ is not what openapi.yaml makes
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	python tools/generate.py openapi.yaml "$$fresh" && \
	{ { diff -r -x __pycache__ -x .pdm-build "$$fresh/generated" generated && \
	    diff "$$fresh/contract.json" src/cavatica_upload/api/contract.json; } || \
	  { echo "generated/ is not what openapi.yaml makes. Run: make generate" >&2; exit 1; }; } && \
	echo "generated/ is what openapi.yaml makes"

spec-lint: install toolbox  ## Check openapi.yaml against Redocly's strict rules, Spectral's and ours
	@redocly lint openapi.yaml --config tools/redocly.yaml --format stylish
	@spectral lint openapi.yaml --ruleset tools/spectral.yaml --fail-severity hint

spec-diff: install toolbox  ## Show what changed for whom, and check info.version: make spec-diff [OLD=ref or file]
	@python tools/spec_diff.py --old="$$OLD"
	@tools/venv/bin/python tools/python_surface.py --old="$$OLD"

spec-changelog: install toolbox  ## Add this version to CHANGELOG-contract.md: make spec-changelog [OLD=…]
	@python tools/spec_diff.py --old="$$OLD" --changelog CHANGELOG-contract.md

check-portable: spec-lint  ## Check that TypeScript, R, Java and two linters can read openapi.yaml
	@python tools/check_portable.py

# With exec, the script and not a shell gets the SIGTERM that make passes on.
upgrade: install toolbox  ## Replace openapi.yaml and all that is made from it: make upgrade SPEC=new.yaml [OLD=…] [BREAKING=accepted]
	@exec python tools/upgrade.py --old="$$OLD" --checks="$${CHECKS:-test contract}" --breaking="$$BREAKING" -- "$$SPEC"

upstream-diff: install  ## Compare with the vendor's OpenAPI export: make upstream-diff UPSTREAM=vendor.json
	@python tools/upstream_diff.py "$$UPSTREAM"

docs: install toolbox  ## Write the reference page, build/reference.html; `make mock` serves it at /docs
	@python tools/reference.py build/reference.html

workflow: install toolbox  ## Run workflows/upload.arazzo.yaml, step by step, against the mock
	@python tools/workflow.py

test-spec: install toolbox  ## Run the tests of the targets for openapi.yaml
	@pytest -n 2 --dist loadgroup tests/toolbox

test-plugins: $(SNAKEMAKE)/.venv/installed  ## Test the Snakemake plugin with Snakemake and the mock
	@cd $(SNAKEMAKE) && .venv/bin/python -m pytest

test-dask: .venv-dask/installed  ## Test --dask-scheduler with a Dask scheduler and workers, each a process
	@.venv-dask/bin/python -m pytest tests/cli/test_dask.py

.venv-dask/installed: requirements-dask.lock pyproject.toml generated/pyproject.toml
	$(PYTHON) -m venv .venv-dask
	.venv-dask/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dask.lock
	.venv-dask/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e ./generated -e .
	@touch $@

$(SNAKEMAKE)/.venv/installed: $(SNAKEMAKE)/requirements.lock $(SNAKEMAKE)/pyproject.toml \
    $(wildcard $(SNAKEMAKE)/snakemake_storage_plugin_cavatica/*.py) pyproject.toml generated/pyproject.toml
	$(PYTHON) -m venv $(SNAKEMAKE)/.venv
	$(SNAKEMAKE)/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $(SNAKEMAKE)/requirements.lock
	$(SNAKEMAKE)/.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e ./generated -e .
	$(SNAKEMAKE)/.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation ./$(SNAKEMAKE)
	@touch $@

dist: install toolbox  ## Build sdists and wheels into dist/, and check them with the demo
	@PYTHON=$(PYTHON) tools/dist.sh

release: install toolbox  ## Check, build and tag a release: make release VERSION=0.2.0
	@tools/release.sh "$$VERSION"

lint: install  ## ruff, mypy --strict, and the contract as a document
	ruff check .
	ruff format --check .
	mypy
	openapi-spec-validator openapi.yaml

format: install  ## Format the code
	ruff check --fix .
	ruff format .

toolbox: $(TOOLBOX)  ## Set up the pinned tools for openapi.yaml, on Node from PyPI if the machine has none

$(TOOLBOX): tools/toolbox tools/package-lock.json tools/requirements.txt tools/node.txt tools/openapi-generator.txt
	@PYTHON=$(PYTHON) tools/toolbox

# Every lock is for all systems, with hashes, and without addresses of indexes.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade --quiet --no-header \
    --no-emit-index-url --no-emit-find-links --no-emit-package cavatica-client

.uv: install
	@pip install --quiet --disable-pip-version-check uv==$(UV)

lock: .uv  ## Update requirements.lock
	$(LOCK) pyproject.toml --extra dev -o requirements.lock

toolbox-lock: .uv  ## Update the locks of the toolbox
	for list in requirements node openapi-generator; do \
	    $(LOCK) tools/$$list.in --no-annotate -o tools/$$list.txt || exit 1; done
	rm -f tools/package-lock.json && cd tools && npm install --package-lock-only --loglevel error && \
	    python lock_without_addresses.py package-lock.json

plugins-lock: .uv  ## Update the lock of the Snakemake plugin's tests
	cd $(SNAKEMAKE) && $(LOCK) pyproject.toml --group test --no-emit-package cavatica-upload -o requirements.lock

dask-lock: .uv  ## Update the lock of the tests with Dask
	$(LOCK) pyproject.toml --extra dask --extra mock --group test-dask -o requirements-dask.lock

clean:  ## Remove everything that the targets made
	rm -rf .venv .venv-* $(SNAKEMAKE)/.venv tools/venv tools/node_modules build dist reports .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis src/cavatica_upload/md5/liblanes.so
