SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo lint unit check test docs lock clean
BIN := .venv/bin
SHELL_FILES := env.sh .ci/run $(wildcard tools/setup/*.sh benchmark/host_scripts/*.sh stacks/cloud/*.sh)
# Tests that need neither root nor a testbed; `make test` runs them first, then those that can run beside others.
UNIT := not integration and not e2e
# The files with tests of these markers: each process imports all files that it is given, which takes seconds.
marked = $$(grep -rlE "mark\.($(1))" tests --include="test_*.py")

help: ## this list
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/make \1|\2/p' Makefile | column -t -s '|'

setup: ## install Debian packages, .venv, the Pulumi CLI and stack `dev`; takes seconds when repeated
	@tools/setup/setup.sh

demo: setup ## create a local testbed and benchmark etcd on it; DURATION=60s make demo is more precise
	@tools/setup/demo.sh

lint: setup ## linters, import contracts, types, and whether generated files are current
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PYTHONPATH=. $(BIN)/lint-imports
	$(BIN)/mypy --strict benchmark stacks __main__.py tools
	$(BIN)/shellcheck $(SHELL_FILES)
	$(BIN)/python -m tools.generate --check

unit: setup ## unit tests
	@tools/setup/install_packages.sh tools/setup/debian-packages-unit-tests.txt
	@. ./env.sh && pytest tests/unit -m "$(UNIT)" --timeout 120 -n 3

check: ## linters and unit tests, at once
	@$(MAKE) --no-print-directory -j2 lint unit

test: check ## linters and all tests; as root, for the local testbeds
	@tools/setup/install_packages.sh tools/setup/debian-packages-tests.txt
	@tools/setup/cloud_image.sh >/dev/null
	@. ./env.sh && pytest $(call marked,integration|e2e) -m "not ($(UNIT)) and not quiet" --timeout 600 -n 4 \
	    --dist loadfile --no-loadscope-reorder
	@. ./env.sh && pytest $(call marked,quiet) -m "quiet" --timeout 600

docs: setup ## write docs/settings.md, the settings' JSON schema and the dashboards
	$(BIN)/python -m tools.generate

lock: setup ## write tools/setup/requirements.lock after a change of requirements*.txt; UPGRADE=--upgrade
	@index=$${PIP_INDEX_URL:-$$($(BIN)/pip config get global.index-url 2>/dev/null || echo https://pypi.org/simple)}; \
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --default-index "$$index" --output-file tools/setup/requirements.lock $(UPGRADE) requirements.txt requirements-dev.txt

clean: ## delete .venv and caches; the state of stacks (.state) and results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
