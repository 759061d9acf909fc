# make repro, make test, make torture, make hashes, make ui, make diff REV=..., make bench, make check-gpu, make retune, make use PROFILE=..., make local DATA=... CAUSAL=... ENCODER=..., make facts DATA=...
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 5000
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: repro test torture hashes ui diff bench check-gpu retune use local facts clean

repro: .venv/run.stamp
	dvc repro
	@echo "The report is reports/README.md; make ui shows the runs."

test: .venv/test.stamp
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	pytest -n auto --dist loadgroup

torture: .venv/test.stamp
	pytest -m torture --hypothesis-profile=default -n auto --dist loadgroup

hashes: .venv/bin/python
	python .ci/hashes.py

ui: .venv/run.stamp
	python stages/publish.py
	@python -m softprompt.tracking http://127.0.0.1:$(PORT)
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port $(PORT) --workers 1

diff: .venv/run.stamp
	softprompt diff "$(REV)"

bench: .venv/test.stamp
	python -m softprompt.benchmark

check-gpu:
	PYTHONPATH=src $(or $(wildcard .venv/bin/python),$(PYTHON)) -m softprompt.check_gpu

retune: .venv/run.stamp
	python -m softprompt.retuning

use: .venv/run.stamp
	softprompt use "$(PROFILE)"

local: .venv/run.stamp
	@test -d "$(DATA)" -a -d "$(ENCODER)" -a -d "$(CAUSAL)" || { echo "usage: make local DATA=folder ENCODER=folder CAUSAL=folder"; exit 1; }
	mkdir -p data/raw/backbones
	cp -r $(wildcard $(DATA)/lama $(DATA)/superglue $(DATA)/fewglue $(DATA)/prompts) data/raw/
	cp -r "$(ENCODER)/." data/raw/backbones/encoder
	cp -r "$(CAUSAL)/." data/raw/backbones/causal
	chmod -R u+w data/raw
	softprompt use local
	dvc repro

facts: .venv/run.stamp
	@test -d "$(DATA)/lama" -a -d "$(DATA)/superglue" || { echo "usage: make facts DATA=folder-with-lama-prompts-superglue"; exit 1; }
	mkdir -p data/raw
	cp -r $(wildcard $(DATA)/lama $(DATA)/superglue $(DATA)/prompts $(DATA)/extra) data/raw/
	chmod -R u+w data/raw
	softprompt use facts
	dvc repro

clean:
	rm -rf data models results mlartifacts mlflow.db .locks

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run.stamp: pyproject.toml constraints.txt | .venv/bin/python
	pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/test.stamp: .venv/run.stamp
	pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@
