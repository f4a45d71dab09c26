SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo lint check test docs lock clean
BIN := .venv/bin
SHELL_FILES := env.sh .ci/run $(wildcard tools/setup/*.sh)

help: ## this list
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/make \1|\2/p' Makefile | column -t -s '|'

setup: ## virtual environment, Debian packages, Pulumi CLI, stack `dev`; seconds when done before
	@tools/setup/setup.sh

demo: setup ## local testbed and a benchmark of etcd on it; DURATION=20s make demo shortens it
	@tools/setup/demo.sh

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict benchmark stacks __main__.py tools
	$(BIN)/shellcheck $(SHELL_FILES)

check: lint ## linters, types and the fast tests
	@. ./env.sh && pytest -m "not integration and not e2e"

# Real hosts, networks and clocks share the machine with whatever else it does: what fails is tried again, and counted.
test: lint ## linters, types and all tests; as root, for the local testbeds
	@tools/setup/install_packages.sh tools/setup/debian-packages-tests.txt
	@. ./env.sh && pytest --reruns 2 --reruns-delay 2 --timeout 600

docs: setup ## docs/settings.md and the editors' schema, from the settings model
	$(BIN)/python -m tools.generate.settings_reference

lock: setup ## tools/setup/constraints.txt, after a change of requirements*.txt
	$(BIN)/pip install --dry-run --ignore-installed --quiet --report .state/resolved.json \
	    -r requirements.txt -r requirements-dev.txt
	@$(BIN)/python -m tools.generate.constraints .state/resolved.json

clean: ## virtual environment and caches; the stacks' state (.state) and results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
