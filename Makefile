# make demo   restore the pictures in examples/ and draw them before and after
# make test   run all tests
# Both create what they need in .venv, from a Python of 3.11 or later.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

demo: .venv/installed
	rm -rf demo
	$(BIN)/memnet batch --task deblock --q 10 examples/ demo/
	$(BIN)/python examples/before_after.py demo demo/before-after.png

test: .venv/tested
	$(BIN)/python -m pytest

lint: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/npe2 validate napari-memnet

clean:
	rm -rf .venv demo

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group test --group lint
	touch $@
