# `make compare` and `make test` need Python 3.11+ and make, nothing else: the first call sets up .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What must be here for the tests; CI adds chromium.
REQUIRE ?= numpy,torch,jax,flint,hypothesis
# How long the long tests are: with LENGTH=full, as in CI, they train to the published hashes and draw more random cases.
LENGTH ?= short

.PHONY: compare test quick check bench pages gpu format everywhere clean
.DEFAULT_GOAL := compare

compare: $(READY)
	$(BIN)/equigrad compare

# One thread for each worker, and a worker for each core. What starts several processes at a time comes after, with more
# workers, since some always wait for what hangs. Files come as they are sorted, so that the longest does not come last.
# pytest-benchmark times nothing beside others, so it stays out. Bytecode is kept: hundreds of processes import the same.
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= EQUIGRAD_REQUIRE=$(REQUIRE) EQUIGRAD_LENGTH=$(LENGTH) \
	$(BIN)/python -m pytest -p no:benchmark --dist loadfile --no-loadscope-reorder
WORKERS = --numprocesses $$($(BIN)/python -c "from equigrad.common.machine import cores; print(cores())") --maxprocesses 4

test: $(READY)
	$(PYTEST) $(WORKERS) --ignore tests/scale
	$(PYTEST) --numprocesses 3 tests/scale

# What is not marked slow: an answer within a minute and a half.
quick: $(READY)
	$(PYTEST) $(WORKERS) --ignore tests/scale -m "not slow"

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# All tables, their JSON and what is made of it: with the set-up of a fresh clone less than ten minutes on two cores.
RESULTS := docs/results
bench: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[peers]'
	$(BIN)/equigrad bench one-layer two-layer --anatomy --process --rounds 4 --json $(RESULTS)/small.json
	$(BIN)/equigrad bench 4096x256-256-10 --who headline --dtype both --rounds 4 --json $(RESULTS)/medium.json
	$(BIN)/equigrad bench 16384x1024-1024-10 --who floors --arithmetic native --dtype both --updates 3 --rounds 3 \
		--json $(RESULTS)/large.json
	$(BIN)/equigrad bench --sweep --arithmetic native --rounds 3 --json $(RESULTS)/sweep.json
	$(MAKE) pages

# docs/benchmarks.md, the maintainers' targets and README's table, from the results that are there.
pages: $(READY)
	$(BIN)/python -m equigrad.bench.pages.document $(RESULTS)/*.json --page docs/benchmarks.md \
		--targets docs/maintainers/targets.md --readme README.md

# All that needs a GPU, in less than eight minutes, with the Python that has PyTorch and JAX for CUDA; then `make pages`.
gpu:
	$(PYTHON) -m equigrad.bench.gpu --out $(RESULTS)

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Where the published hash is seen: vector units, threads, processes, versions, aarch64 under emulation. A line that these
# versions have is kept, so an interrupted call goes on; the page says how to run single lines.
everywhere: $(READY)
	$(BIN)/python -m equigrad.scale.everywhere docs/everywhere.md

clean:
	rm -rf $(VENV) build *.egg-info

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	touch $@
