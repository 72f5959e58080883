# `make help` lists the targets. Every one sets up what it needs.
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory --no-builtin-rules
PY := .venv/bin/python
READY := .venv/.ready
COMPILE = .venv/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
# What mlflow requires to train and to draw, and its server never imports.
WITHOUT_TRAINING := $(addprefix --no-emit-package=, pyarrow scikit-learn scipy matplotlib skops pillow contourpy fonttools \
  kiwisolver cycler joblib threadpoolctl)
# What torch requires and a machine without a GPU never calls (sdk/transformers/cpu_torch.py); and what is here already.
WITHOUT_GPU := $(addprefix --no-emit-package=, topgraft-adapter cuda-bindings cuda-pathfinder cuda-toolkit triton \
  nvidia-cublas nvidia-cuda-nvrtc nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver \
  nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## the virtual environment .venv, every package pinned with its hashes
	@:

$(READY): constraints/dev.txt pyproject.toml sdk/pyproject.toml hack/venv
	@echo "== set up .venv"
	@hack/venv
	@touch $@

.PHONY: tools
tools: $(READY) ## kubectl and helm 4: the machine's own, or built from their Go modules
	@$(PY) hack/cluster.py tools

.PHONY: test
test: $(READY) ## lint, unit tests, API tests, cluster tests with real pods
	@$(PY) hack/check.py lint unit heads api cluster

.PHONY: test-full
test-full: $(READY) ## the same with MLflow and the long matrices
	@$(PY) hack/check.py lint unit heads mlflow api cluster --full

.PHONY: lint
lint: $(READY) ## ruff, mypy --strict, import-linter, generated files
	@$(PY) hack/check.py lint

.PHONY: test-unit
test-unit: $(READY) ## pure tests, the SDK's and the example's too: no cluster
	@$(PY) hack/check.py unit

.PHONY: test-heads
test-heads: $(READY) ## the transformers distribution, in an environment with torch of its own
	@$(PY) hack/check.py heads

.PHONY: test-mlflow
test-mlflow: $(READY) ## the mirror against a real MLflow server, in an environment of its own
	@$(PY) hack/check.py mlflow

.PHONY: test-api
test-api: $(READY) ## the CRDs on a real API server, without a node
	@$(PY) hack/check.py api

.PHONY: test-cluster
test-cluster: $(READY) ## whole rollouts with real pods
	@$(PY) hack/check.py cluster

.PHONY: demo
demo: $(READY) ## install by Helm, one upgrade and one rollback under load, with figures
	@$(PY) hack/demo.py

.PHONY: images
images: $(READY) ## build and push the images that changed
	@$(PY) hack/images.py

.PHONY: cluster-up
cluster-up: $(READY) ## start the cluster (CLUSTER=local|kind|existing)
	@$(PY) hack/cluster.py up

.PHONY: cluster-down
cluster-down: $(READY) ## stop it and throw its state away
	@$(PY) hack/cluster.py down

.PHONY: generate
generate: $(READY) tools ## crds/ from the pydantic models, then manifests/ and the chart's tables
	@$(PY) hack/crds.py
	@$(PY) hack/manifests.py

.PHONY: constraints
constraints: .venv/uv/bin/uv ## pin the newest versions that the pyproject.toml files allow
	@$(COMPILE) --upgrade constraints/build.in -o constraints/build.txt
	@$(COMPILE) --upgrade pyproject.toml -o constraints/operator.txt
	@$(COMPILE) --upgrade sdk/pyproject.toml constraints/build.in -o sdk/constraints.txt
	@$(COMPILE) --upgrade sdk/pyproject.toml constraints/build.in --extra grpc -c sdk/constraints.txt -o sdk/constraints-grpc.txt
	@$(COMPILE) --upgrade pyproject.toml sdk/pyproject.toml constraints/build.in --extra dev --extra grpc \
	  -c constraints/operator.txt -c sdk/constraints.txt -o constraints/dev.txt
	@$(COMPILE) --upgrade pyproject.toml --extra dev --extra mlflow constraints/mlflow.in $(WITHOUT_TRAINING) \
	  -c constraints/dev.txt -o constraints/mlflow.txt
	@$(COMPILE) --upgrade pyproject.toml --extra mlflow -c constraints/operator.txt -c constraints/mlflow.txt \
	  -o constraints/operator-mlflow.txt
	@$(COMPILE) --upgrade sdk/transformers/pyproject.toml constraints/build.in $(WITHOUT_GPU) \
	  -c sdk/constraints.txt -o sdk/transformers/constraints.txt
	@$(COMPILE) --upgrade sdk/transformers/pyproject.toml constraints/build.in $(WITHOUT_GPU) --extra dev \
	  -c sdk/transformers/constraints.txt -c constraints/dev.txt -o sdk/transformers/dev.txt

.venv/uv/bin/uv: | $(READY)
	@.venv/bin/pip install --quiet --target .venv/uv uv

.PHONY: clean
clean: ## remove what was built here; the cache in ~/.cache/topgraft stays
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
