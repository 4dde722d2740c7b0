# make demo   installs and makes pictures with the shipped model
# make test   installs what tests need and runs them all
# make check  style, types, import direction, the documentation's links
# make docs   builds the documentation into site/
# make fuzz   damages data sets for 60 seconds and reads them; needs Linux, for atheris
# make wheel  builds the wheel, installs it in a clean environment outside the checkout, runs its demo
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check docs fuzz wheel clean

demo: $(VENV)/.installed
	$(VENV)/bin/handvae demo

test: $(VENV)/.tested
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 8

check: $(VENV)/.checked
	$(VENV)/bin/ruff check src tests benchmarks fuzz
	$(VENV)/bin/ruff format --check src tests benchmarks fuzz
	$(VENV)/bin/pyright
	$(VENV)/bin/python -m pytest -q tests/test_architecture.py
	$(MAKE) --no-print-directory docs

docs: $(VENV)/.checked
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

fuzz: $(VENV)/.fuzzed
	OMP_NUM_THREADS=1 $(VENV)/bin/python fuzz/readers.py --seconds 20
	OMP_NUM_THREADS=1 $(VENV)/bin/python fuzz/data_sets.py 40

wheel: $(VENV)/.checked
	rm -rf dist .venv-wheel
	$(VENV)/bin/python -m build --wheel --no-isolation --outdir dist
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch dist/*.whl
	folder=$$(mktemp -d) && cd $$folder && $(CURDIR)/.venv-wheel/bin/handvae demo && ls -l $$folder/out/demo
	rm -rf .venv-wheel

clean:
	rm -rf $(VENV) .venv-wheel dist out site .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch by name first: with the constraint it is the CPU build, which everything else then finds installed
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) --editable ".[test]"
	touch $@

$(VENV)/.fuzzed: $(VENV)/.tested
	$(PIP) --editable ".[test,fuzz]"
	touch $@

$(VENV)/.checked: $(VENV)/.tested
	$(PIP) --editable ".[test,dev]" hatchling
	touch $@
