# Everything installs into $(VENV), from constraints.txt; nothing outside the folder is changed,
# except that `make test` as root adds Chromium, PostgreSQL, nginx and tcmalloc through apt-get where
# they are absent.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
ARGS ?=
ROOMS := storage labeling reward ui
# Two pytest workers that each spin up every core would slow each other down; and what the hundreds
# of processes of a run have compiled once, they need not compile each (`make clean` removes it).
TEST_ENV := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive TOKENIZERS_PARALLELISM=false \
	PYTHONDONTWRITEBYTECODE=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-faults lint hostile format typecheck bench bench-training bench-labeling bench-load bench-quality clean system-packages

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/installed ## Install, then serve the pages at http://localhost:8501 and train
	@$(BIN)/rankloop up $(ARGS)

test: $(VENV)/installed-dev system-packages ## Run the quick tests (minutes; ARGS="-k name" picks some)
	$(TEST_ENV) $(BIN)/pytest -m "not slow and not faults" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-all: test ## Run every test, those on the real model too (tens of minutes)
	$(TEST_ENV) $(BIN)/pytest -m slow $(ARGS)

test-faults: $(VENV)/installed-dev system-packages ## Break everything on purpose: kills, disks, clocks (50 minutes; ARGS="--rounds 8": 15)
	$(TEST_ENV) $(BIN)/python -m tests.faults $(ARGS)

lint: $(VENV)/installed-dev ## Check style, security, imports, and packages for known flaws
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m tests.audit_packages $(ARGS)

hostile: $(VENV)/installed-dev ## Print what becomes of hostile texts on each way (ARGS=--docs)
	@$(BIN)/python -m tests.hostile_table $(ARGS)

format: $(VENV)/installed-dev ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/installed-dev ## Check the types
	$(BIN)/mypy

bench: $(VENV)/installed-dev system-packages ## Measure the speeds that the project promises (minutes)
	$(BIN)/python -m benchmarks $(ARGS)

bench-training: $(VENV)/installed-dev system-packages ## Measure training: speed, memory, learning (2½ hours; ARGS=--quick: 45 minutes)
	$(BIN)/python -m benchmarks.training $(ARGS)

bench-labeling: $(VENV)/installed-dev system-packages ## Measure labeling: load, scale, peers, faults (45 minutes; ARGS=--quick: 12)
	$(BIN)/python -m benchmarks.labeling $(ARGS)

bench-load: $(VENV)/installed-dev system-packages ## Measure 300 and 1,000 annotators, and a day's work (an hour; ARGS=--quick: 10)
	$(BIN)/python -m benchmarks.load $(ARGS)

bench-quality: $(VENV)/installed-dev ## Measure agreement and reliability beside krippendorff, crowd-kit and choix (10 minutes)
	$(BIN)/python -m benchmarks.agreement --work benchmark-work $(ARGS)

clean: ## Remove caches and build products (keeps .venv and rankloop-data)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache .grimp_cache
	find $(ROOMS) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

system-packages:
	@tests/install_system_packages.sh

# A stamp is newer than what it was made from: a second `make run` starts at once.
$(VENV)/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it and run make again." >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install -c constraints.txt -e ".[dev]"
	@touch $@
