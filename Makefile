# Every target makes the virtual environment that it needs; nothing outside this folder is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test_slow lint format bench tables wheel docs clean

# Options of the demo, such as DEMO_FLAGS=--quiet
DEMO_FLAGS ?=

demo: $(VENV)/.user-installed
	$(BIN)/tfcompress demo $(DEMO_FLAGS)

# Tests start many processes: they need not compile our modules anew where Python is told to write no bytecode.  The
# compiler does not follow the links in tfcompress/.
test: $(VENV)/.dev-installed
	$(BIN)/python -m compileall -q -j 2 tfcompress converters calibration example_models
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test_slow: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/pyright --threads 2

format: $(VENV)/.dev-installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev-installed
	$(BIN)/python -m benchmarks bench

tables: $(VENV)/.dev-installed
	$(BIN)/python -m benchmarks tables

wheel: $(VENV)/.dev-installed
	$(PIP) wheel --no-deps --wheel-dir dist .

docs: .venv_docs/.installed
	NO_MKDOCS_2_WARNING=1 .venv_docs/bin/mkdocs build --strict --quiet -f docs/mkdocs.yml

clean:
	rm -rf build dist demo_output site *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user-installed: setup.py constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable ".[all]"
	touch $@

$(VENV)/.dev-installed: setup.py constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable ".[all,dev]"
	touch $@ $(VENV)/.user-installed

# The site has an environment of its own: what builds it must not meet what models are converted with.
.venv_docs/.installed: docs/requirements.txt
	$(PYTHON) -m venv .venv_docs
	.venv_docs/bin/python -m pip --disable-pip-version-check install --quiet -r docs/requirements.txt
	touch $@
