# Every target makes the virtual environment first if it is missing or out of date.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := runs/demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format bench clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed ## generate songs, train a vocal model, evaluate it, separate a real song
	$(BIN)/python train.py experiment=quickstart paths.run_dir=$(RUN) resume=auto print_config=false
	$(BIN)/python evaluate.py ckpt=$(RUN)/checkpoints/best.ckpt
	$(BIN)/python scripts/prepare_excerpt.py out=data/excerpt
	$(BIN)/python separate.py ckpt=$(RUN)/checkpoints/best.ckpt input=data/excerpt/song output=$(RUN)/separated residual=true overwrite=true
	$(BIN)/python evaluate.py ckpt=$(RUN)/checkpoints/best.ckpt data=stem_folder data.root=data/excerpt/stems
	$(BIN)/python scripts/demo_report.py run=$(RUN) excerpt=data/excerpt/stems

# Pages are tested in Chromium, if it is here or root can install it with apt.
APT := apt-get --quiet --yes --option Acquire::Retries=1 --option Acquire::http::Timeout=20
$(VENV)/.chromium: $(VENV)/.installed
	@command -v chromedriver > $@ || ($(APT) update && $(APT) install chromium chromium-driver) > $@ 2>&1 \
	    || echo "no Chromium, its tests are skipped: apt-get install chromium chromium-driver failed, see $@"

PYTEST = $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.chromium ## run the suite, but for clusters
	$(PYTEST) --ignore=tests/system_wide/test_machines.py

test-all: $(VENV)/.chromium ## run the whole suite, with a local Ray and submitit
	$(PYTEST)

lint: $(VENV)/.installed ## style, format, import rules, types of the public surface
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/.installed ## repair style and format where that is possible
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed ## measure speed, as ratios (quality: see scripts/bench_quality.py)
	$(BIN)/python scripts/bench_synthetic.py
	$(BIN)/python scripts/bench_separation.py
	$(BIN)/python scripts/bench_models.py
	$(BIN)/python scripts/bench_engines.py
	$(BIN)/python scripts/bench_data.py
	$(BIN)/python scripts/bench_training.py
	$(BIN)/python scripts/bench_metrics.py
	$(BIN)/python scripts/bench_startup.py

clean: ## remove environment, caches and the demo's run; data and other runs stay
	rm -rf $(VENV) $(RUN) dist .pytest_cache .ruff_cache .import_linter_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
