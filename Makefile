# make demo         restore the pictures in examples/ and draw them before and after
# make check        lint, and run the quick tests: an answer in about two minutes
# make test         run all tests
# make screenshots  draw the pictures of docs/plugin.md anew
# make site         build the documentation into site/, with every link checked
# make package      build wheel and source archive into dist/, check them, list their parts
# make lowest       run quick tests with the lowest versions that are declared
# make pythons      install the wheel for every Python that is here, and start it
# All create what they need in .venv, from a Python of 3.11 or later.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo check test lint screenshots site package lowest pythons clean

demo: .venv/installed
	rm -rf demo
	$(BIN)/memnet batch --task deblock --q 10 examples/ demo/
	$(BIN)/python examples/before_after.py demo demo/before-after.png

test: .venv/tested .venv/debian
	$(BIN)/python -m pytest

check: lint
	$(BIN)/python -m pytest -q -m "not slow"

lint: .venv/tested .venv/debian
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	QT_QPA_PLATFORM=offscreen $(BIN)/npe2 validate napari-memnet --imports

screenshots: .venv/tested .venv/debian
	xvfb-run --auto-servernum --server-args="-screen 0 1600x1200x24" \
		$(BIN)/python docs/make_screenshots.py

# The variable keeps an advertisement for another program out of what is printed.
site: .venv/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

package: .venv/packaged
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/python release/sbom.py dist/*.whl

lowest: .venv/packaged
	$(BIN)/python release/lowest.py $(BIN)/uv

pythons: package
	$(BIN)/python release/pythons.py $(BIN)/uv dist/*.whl

clean:
	rm -rf .venv demo dist site

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group plugin-test --group lint
	touch $@

.venv/site: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group docs
	touch $@

.venv/packaged: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group package
	touch $@

# What Qt needs on Debian and Ubuntu; elsewhere it usually is there.
.venv/debian: .venv/installed debian.txt
	@if ! command -v apt-get > /dev/null || dpkg -s $$(cat debian.txt) > /dev/null 2>&1; then \
		:; \
	elif [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $$(cat debian.txt) > /dev/null; \
	else \
		echo "Install what Qt needs: sudo apt-get install $$(cat debian.txt | tr '\n' ' ')" >&2; \
		exit 1; \
	fi
	touch $@
