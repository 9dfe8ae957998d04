# `make demo` and `make test` do all the set-up: python3 (3.11 or later), make and git are enough.
#
#   PYTHON      the interpreter the environment is made with
#   TORCH_ARGS  more arguments for installing torch, for example
#               TORCH_ARGS='--index-url https://download.pytorch.org/whl/cpu'
#   PYTEST_ARGS more arguments for pytest, for example PYTEST_ARGS='-k report', or '-n 8' where cores are many

PYTHON      ?= python3
VENV        := .venv
BIN         := $(VENV)/bin
PIP         := $(BIN)/python -m pip --disable-pip-version-check
INSTALL     := $(PIP) install -qq --constraint constraints.txt
TORCH_ARGS  ?=
PYTEST_ARGS ?=
PINNED      := pyproject.toml constraints.txt

# onnxruntime reports its use unless this is set; greengate sets it for its workers, this is for our own scripts.
export ORT_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint bless bench-speed bench-verdicts bench-instructions bench-operations bench-energy bench-gpu bench-gpu-energy bench-mutations clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.core ## make .venv with greengate and its core dependencies, nothing else

demo: $(VENV)/.core ## run the gate three times on real models: a pass, a failure, one it cannot decide
	@GREENGATE=$(CURDIR)/$(BIN)/greengate examples/digits/demo.sh

test: lint $(VENV)/.extras $(VENV)/.npm ## lint, type-check, check the architecture, run every test, print the coverage
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term $(PYTEST_ARGS)

lint: $(VENV)/.test ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bless: $(VENV)/.test ## rewrite the golden files of the tests; read the diff before you commit it
	$(BIN)/python -m pytest --bless $(PYTEST_ARGS)

bench-speed: $(VENV)/.test ## print what the command line costs, as ratios
	$(BIN)/python benchmarks/speed.py

bench-verdicts: $(VENV)/.test ## fill the table of verdicts on equal and changed models; takes hours, can be cut into parts
	$(BIN)/python benchmarks/verdicts.py run

bench-gpu: $(VENV)/.extras ## run tests/gpu, then fill the table of verdicts on an NVIDIA GPU; ten minutes
	$(BIN)/python -m pytest tests/gpu
	$(BIN)/python benchmarks/gpu.py

bench-instructions: $(VENV)/.extras ## count equal and slightly heavier models, and real ones, under the valgrind on PATH; takes an hour
	$(BIN)/python benchmarks/instructions.py verdicts
	$(BIN)/python benchmarks/instructions.py models

bench-operations: $(VENV)/.made ## count the same graphs as other counters do, beside them, in an environment of its own
	$(PYTHON) -m venv $(VENV)-operations
	$(VENV)-operations/bin/python -m pip install -qq --constraint constraints.txt $(TORCH_ARGS) torch
	$(VENV)-operations/bin/python -m pip install -qq --constraint constraints.txt --editable . \
	  --requirement benchmarks/operations.requirements.txt
	$(VENV)-operations/bin/python benchmarks/operations.py

bench-energy: $(VENV)/.made ## read simulated counters beside Zeus and codecarbon, in an environment of its own
	$(PYTHON) -m venv $(VENV)-energy
	$(VENV)-energy/bin/python -m pip install -qq --editable . --requirement benchmarks/energy.requirements.txt
	$(VENV)-energy/bin/python benchmarks/energy.py

bench-gpu-energy: $(VENV)/.extras ## measure what the energy counter of this machine's NVIDIA board is worth; again for the rest
	$(BIN)/python benchmarks/gpu_energy.py

bench-mutations: $(VENV)/.made ## try the tests on mutants of judge, approvals and reader, in an environment of its own; takes an hour
	$(PYTHON) -m venv $(VENV)-mutations
	$(VENV)-mutations/bin/python -m pip install -qq --upgrade pip
	$(VENV)-mutations/bin/python -m pip install -qq --constraint constraints.txt --editable . --group test \
	  --requirement benchmarks/mutations.requirements.txt
	$(VENV)-mutations/bin/python benchmarks/mutations.py run

clean: ## remove .venv and everything that tools left behind
	rm -rf $(VENV) $(VENV)-operations $(VENV)-energy $(VENV)-mutations .cache/mutations .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* dist
	find greengate tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp stands for one finished step, so that a second run installs nothing.
# pip is upgraded first: it reads the groups of pyproject.toml from 25.1 on.

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not here; install Python 3.11 or later," \
	  "or name one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: greengate needs Python 3.11" \
	  "or later and $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) cannot make virtual environments;" \
	  "on Debian and Ubuntu run: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) --upgrade pip
	@touch $@

$(VENV)/.core: $(VENV)/.made $(PINNED)
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.core
	$(INSTALL) --group test --group ci --group lint
	@touch $@

# Runs the GitLab template for real. 4.73 is the last version for Node 20. With CI set, its absence is a failure.
$(VENV)/.npm: $(VENV)/.made Makefile
	@if npm install --silent --no-audit --no-fund --prefix $(VENV)/npm gitlab-ci-local@4.73.0 >/dev/null; then touch $@; \
	elif [ -n "$$CI" ]; then echo "error: gitlab-ci-local could not be installed" >&2; exit 1; \
	else echo "note: gitlab-ci-local could not be installed; the GitLab template is not run" >&2; fi

# torch comes first and by itself, so that TORCH_ARGS can say which build; with CI set, its absence is a failure.
$(VENV)/.extras: $(VENV)/.test
	@if $(INSTALL) $(TORCH_ARGS) torch && $(INSTALL) --editable '.[all,mlflow]' --group torch --group registry; then touch $@; \
	elif [ -n "$$CI" ]; then echo "error: the optional parts could not be installed" >&2; exit 1; \
	else echo "note: the optional parts (torch, fvcore, codecarbon, nvidia-ml-py, mlflow) could not be installed;" \
	  "the tests that need them are skipped, the gate for ONNX models is tested in full" >&2; fi
