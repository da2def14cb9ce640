# Every command of a developer. Each runs in .venv, which is made when it is missing or out of date.
PYTHON ?= python3
# Hundreds of short processes import the toolchains: compiled modules have to be kept.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
KILLS := 200
MODEL := examples/efficientnet_lite0.py:build

.PHONY: help demo test test-slow stress conformance check bench lock schemas clean

help:
	@echo "make demo     build the example model for every shipped target into demo/"
	@echo "make test     run the tests, in less than ten minutes"
	@echo "make test-slow  run the tests that build with every toolchain"
	@echo "make stress   kill builds 200 times and fill their disks; resume them (KILLS=10 for fewer)"
	@echo "make conformance  run all of Apple's operation tests in the reference executor (half an hour)"
	@echo "make check    lint, format, types, layers, spelling, links, generated files"
	@echo "make bench    measure the tool itself (benchmarks/)"
	@echo "make schemas  write targets/schema.json and targets/profiles/schema.json again"
	@echo "make lock     resolve constraints.txt again from pyproject.toml"

.venv/.installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' constraints.txt > .venv/uv.txt
	$(BIN)/pip install --quiet --require-hashes --no-deps -r .venv/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: .venv/.installed
	$(BIN)/python -m examples.make_data demo/data --only photos
	$(BIN)/mobilesdk build $(MODEL) --calibration demo/data/photos/calibration \
	  --evaluation demo/data/photos/evaluation --output demo/bundle --overwrite

test: .venv/.installed
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m "not slow"

test-slow: .venv/.installed
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m slow

stress: .venv/.installed
	$(BIN)/python -m tests.stress --kills $(KILLS)

conformance: .venv/.installed
	$(BIN)/python -m tests.coreml.conformance conformance-results

check: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/pytest --quiet tests/docs

bench: .venv/.installed
	$(BIN)/python benchmarks/build_time.py
	$(BIN)/python benchmarks/executor_speed.py

schemas: .venv/.installed
	$(BIN)/python -m mobilesdk.targets

lock: .venv/.installed
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --generate-hashes --universal \
	  --no-annotate --no-header --no-emit-index-url --quiet --output-file constraints.txt

clean:
	rm -rf .venv demo dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
