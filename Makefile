# Every command a person or a build machine needs. `make demo` and `make test` work on a fresh machine that has
# Python 3.11 or newer, Java 17, make and git.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
ONLY ?=

.PHONY: help env demo test lint fmt docs typing-path bench bench-alarms soak wheel lock clean
help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

env: $(STAMP)  ## make .venv with the locked versions and fetch the Spark jars

$(STAMP): setup.py requirements/lock.txt requirements/bootstrap.txt
	@$(PYTHON) tests/install/check_machine.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	$(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/lock.txt
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@# Behind a registry that forbids caching, each installation leaves another unpacked copy of pyspark (2 GB).
	$(BIN)/python -m uv cache prune --quiet
	$(BIN)/python -m pegel.jobs.wiring.jars
	$(BIN)/python tests/equipment/kafka_jars.py
	@touch $(STAMP)

demo: env  ## run the whole loop on this machine (ARGS="--exit" stops when it has closed)
	$(BIN)/python -m pegel.jobs.demo $(ARGS)

test: env  ## run the tests
	$(BIN)/python -m pytest -p no:cacheprovider -m "not soak" $(ARGS)

lint: env typing-path  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.typing:tests $(BIN)/mypy --namespace-packages --explicit-package-bases -p pegel -p equipment
	PYTHONPATH=.typing $(BIN)/lint-imports --no-cache

fmt: env  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: env  ## write the pages that follow from the code
	$(BIN)/python docs/generate.py

# An editable install that maps folders is an import hook, which mypy and import-linter cannot see: they read these links.
typing-path:
	@mkdir -p .typing/pegel && cd .typing/pegel && \
	for room in schemas conf tables streaming alerts lifecycle serving dashboard jobs local; do ln -sfn ../../$$room $$room; done && \
	for file in ../../package_root/*; do ln -sfn $$file $$(basename $$file); done

bench: env  ## benchmarks as JSON lines (ONLY=name for one)
	$(BIN)/python -m benchmarks $(ONLY)

bench-alarms: env  ## false alarms and delays of the alarm rule and of the usual ones as JSON lines (ARGS="delay rates")
	$(BIN)/python -m benchmarks.bench_alarms $(ARGS)

soak: env  ## the long tests
	$(BIN)/python -m pytest -p no:cacheprovider -m soak $(ARGS)

wheel: env  ## build the wheel into dist/
	rm -rf build && $(BIN)/python -m build --wheel

lock: env  ## renew the lock files
	$(BIN)/python -m uv pip compile -q --upgrade --universal --generate-hashes --no-annotate --no-header --python-version 3.11 -o requirements/bootstrap.txt requirements/bootstrap.in
	$(BIN)/python -m uv pip compile -q --upgrade --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --extra spark --extra dev -o requirements/lock.txt setup.py

clean:  ## remove what was made here, the environment included
	rm -rf $(VENV) .typing .pegel build dist *.egg-info
