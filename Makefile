# Two commands: `make demo` shows the whole chain on this machine, `make test` checks it.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
BIN := .venv/bin
WORKERS ?= 2
PARALLEL := $(if $(filter-out 1,$(WORKERS)),--numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder)
# No packet of any demo or test leaves this machine.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
export ROS_LOCALHOST_ONLY := 1
# Tests start hundreds of processes: where byte code is not kept, each of them compiles our packages again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint format clean

## Render, detect, drive, report: out/demo/index.html. IMAGES=dir runs the detector on your own photos.
demo:
	bootstrap/bootstrap.sh demo
	$(BIN)/palletjack demo --out out/demo $${IMAGES:+--images "$$IMAGES"}

## Lint, type-check and run every test that can run on this machine, shared out to two processes (WORKERS=1:
## one); ARGS="tests/sdg -k labels" is given to pytest.
test: lint
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

lint:
	bootstrap/bootstrap.sh test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf out ros2_ws/build ros2_ws/install ros2_ws/log
