# The commands that people and CI run. `make demo` first; `make test` for everything.
VENV ?= .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin
OUT ?= out
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo web test test-fast lint types check bench bench-serve train-default install install-dev clean

demo: install  ## animate the catalogue that ships with the package into out/demo
	$(BIN)/expclip animate expclip/data/demo/catalogue.csv -o $(OUT)/demo --format livelink.csv,a2f.json,glb,mp4

web:  ## the studio page that the service shows at /; needs Node 20.19 or later
	cd serve/web && npm ci --no-audit --no-fund && npm run build

# Two halves at once: those of the library compute, those on Ray mostly wait for processes to start.
test: install-dev  ## the whole test suite, Ray included
	@$(BIN)/python -m pytest -q -m "not ray" > $(VENV)/library.log 2>&1 & library=$$!; \
	$(BIN)/python -m pytest -q -m ray; jobs=$$?; \
	wait $$library; rest=$$?; cat $(VENV)/library.log; exit $$((jobs | rest))

test-fast: install-dev  ## without Ray and without the models that ship
	$(BIN)/python -m pytest -m "not ray and not model"

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install-dev
	$(BIN)/mypy

check: lint types test

bench: install-dev  ## ratios and real-time factors on this machine
	$(BIN)/python -m ray_jobs.bench

bench-serve: install-dev  ## streams over loopback: first frame, lateness, frames a second
	$(BIN)/python -m serve.bench

# The checkpoint that ships. GRID and FACEGOOD name the corpora's folders, WHISPER a Whisper encoder's safetensors to
# distil from; without them speech made by us is all there is, and no teacher.
RUNS ?= runs
GRID ?=
FACEGOOD ?=
WHISPER ?=
RECIPE := --recipe infra/recipes/default.toml
train-default: install-dev  ## retrain the checkpoint that ships into runs/base
	$(BIN)/expclip synthesize -o $(RUNS)/synth $(RECIPE)
	$(if $(GRID),$(BIN)/expclip ingest grid $(GRID) -o $(RUNS)/grid)
	$(if $(FACEGOOD),$(BIN)/expclip ingest facegood $(FACEGOOD) -o $(RUNS)/facegood)
	$(BIN)/expclip train-expclip $(RECIPE) -o $(RUNS)/expclip
	$(BIN)/expclip train-generator $(RECIPE) --set expclip=$(RUNS)/expclip $(if $(WHISPER),--set whisper=$(WHISPER)) \
	  --set corpora.synth=$(RUNS)/synth --set shares.synth=1.5 \
	  $(if $(GRID),--set corpora.grid=$(RUNS)/grid) \
	  $(if $(FACEGOOD),--set corpora.facegood=$(RUNS)/facegood --set shares.facegood=0.12) -o $(RUNS)/base

# A stamp tells which set of packages the environment holds; it is remade when the pins change.
install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml infra/constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c infra/constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml infra/constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c infra/constraints.txt -e '.[synthesize,test]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info
