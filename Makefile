# make demo, make test: everything from a fresh clone, the virtual environment included.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= auto
# No more on many cores: every worker may run a C++ compiler.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadgroup
DEMO := build-demo

.PHONY: demo test test-slow lint clean

demo: $(INSTALLED)
	$(BIN)/qcompile examples/digits_cnn.onnx --target ultra96 --calibrate examples/digits.npz --verify 100 -o $(DEMO)

test: $(INSTALLED)
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(INSTALLED)
	$(PYTEST) -m slow $(ARGS) || test $$? -eq 5  # 5: there is no such test

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Made again whenever pyproject.toml changes; half an environment never counts as made.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed; name one, as in: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@command -v $${CXX:-g++} >/dev/null || command -v clang++ >/dev/null || \
	  { echo "error: g++ is missing and the simulator needs it; on Debian or Ubuntu: apt install g++" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "error: Python cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
