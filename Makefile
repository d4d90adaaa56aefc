# stepahead: everything a developer types. `make demo` and `make test` need Python 3.11+, a C++ compiler and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NATIVE := $(wildcard CMakeLists.txt) $(wildcard native/*.h native/*.cpp)
# Benchmarks that take the data folder, and those that need none; timing.py and peers.py are what they share, accuracy.py
# runs panels.py, other_panels.py takes a folder that it makes, and *_peers.py need packages of others beside them.
WITH_DATA := benchmarks/accuracy.py benchmarks/intervals.py benchmarks/symbols.py
APART := $(addprefix benchmarks/,timing.py peers.py panels.py other_panels.py few_rows.py) $(wildcard benchmarks/*_peers.py)
WITHOUT_DATA := $(filter-out $(WITH_DATA) $(APART),$(wildcard benchmarks/*.py))

.PHONY: help demo test check format bench soak sanitize clean
.DEFAULT_GOAL := help

help:
	@echo "make demo              the three parts of the tour; leaves stepahead-demo/"
	@echo "make test              make check, then all tests"
	@echo "make check             ruff and mypy"
	@echo "make format            ruff writes the format"
	@echo "make bench DATA=folder every benchmark, one after the other"
	@echo "make soak              the long tests"
	@echo "make sanitize          the native kernel under address and undefined-behaviour sanitizers"
	@echo "make clean             remove .venv, build folders and caches"

demo: $(READY)
	$(BIN)/stepahead demo

test: check
	@tools/install-debian.sh chromium
	@tools/install-debian.sh postgresql
	$(BIN)/python -m pytest -m "not soak"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	@test -n "$(DATA)" || { echo "make bench needs the data folder: make bench DATA=path/to/data"; exit 2; }
	@missed=; for script in $(WITHOUT_DATA) $(WITH_DATA); do \
	  case " $(WITH_DATA) " in *" $$script "*) data="$(DATA)";; *) data=;; esac; \
	  echo "== $$script"; $(BIN)/python $$script $${data:+"$$data"} || missed="$$missed $$script"; \
	done; test -z "$$missed" || { echo "missed a bar, or could not run:$$missed"; exit 1; }

soak: $(READY)
	$(BIN)/python -m pytest -m soak --timeout 0

sanitize: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" native/sanitize.sh

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis stepahead-demo

# One environment for all. The build tools come first, from constraints.txt too: an isolated build would not read it.
$(READY): pyproject.toml constraints.txt $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "stepahead needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "python3 -m venv failed; on Debian: apt install python3-venv"; rm -rf $(VENV); exit 2; }
	@echo "setting up $(VENV): some minutes the first time"
	@$(BIN)/python -m pip install --quiet -c constraints.txt scikit-build-core nanobind cmake ninja
	@$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@
