# Every target sets up .venv by itself; PYTHON chooses the interpreter that makes it.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
PEER := build/peer
VERSION ?= 1.9.2
PEER_READY := $(PEER)/.ready

.PHONY: help demo test test-slow lint docs perf upstream-patch clean

help:
	@echo "make demo       ask whether the penguin species share a parameter"
	@echo "make test       run the tests, without the slow ones"
	@echo "make test-slow  run the slow tests"
	@echo "make lint       check style, types and architecture"
	@echo "make docs       build docs/build/html and run every example in it"
	@echo "make perf       time this package beside the released pyro-ppl 1.9.2"
	@echo "make upstream-patch VERSION=1.8.6  put equalize into that pyro-ppl and test it there"
	@echo "make clean      remove what the targets above built (all but $(VENV))"

$(READY): setup.py pyproject.toml constraints.txt pyro/_version.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(PEER_READY): $(READY)
	rm -rf $(PEER)
	$(RUN) -m pip install --quiet --no-deps --target $(PEER) pyro-ppl==1.9.2
	touch $@

demo: $(READY)
	$(RUN) examples/equalize.py

# One thread a worker: two workers that each use every core only wait for each other.
test test-slow docs: export OMP_NUM_THREADS = 1

test: $(READY)
	$(RUN) -m pytest -m "not slow" -n 2 -q

test-slow: $(READY)
	$(RUN) -m pytest -m slow -n 2 -q

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest -q tests/test_architecture.py

docs: $(READY)
	$(RUN) -m sphinx -W --keep-going -q -b html docs/source docs/build/html
	$(RUN) -m pytest -q --doctest-modules pyro
	$(RUN) -m pytest -q --doctest-glob='*.rst' --doctest-glob='*.md' docs/source README.md

perf: $(READY) $(PEER_READY)
	$(RUN) perf/compare.py --peer $(PEER)

upstream-patch: $(READY)
	$(RUN) tools/upstream_patch.py $(VERSION)

clean:
	rm -rf build docs/build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis $(READY)
	find pyro tests examples perf tools docs -name __pycache__ -prune -exec rm -rf {} +
