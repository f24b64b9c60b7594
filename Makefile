PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE := localhost/epp:0.1.0
# Two processes halve the time on two cores; a file's tests stay together, for they share servers.
PYTEST := $(BIN)/pytest -q
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help venv compiled run check format test test-compiled cluster test-cluster test-node dns istio manifests image kind bench instructions study study-quick live-study protos constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.installed compiled ## make .venv with pinned dependencies, and compile; then .venv/bin/epp works

compiled: $(VENV)/.installed ## compile what runs for every request, if there is a C compiler and it is not done
	@$(BIN)/python scripts/compile.py

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "epp needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# xds-protos, for tests, has older files of the same names: whoever comes last has them.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --force-reinstall opentelemetry-proto
	@touch $@

run: $(VENV)/.installed ## four simulated model servers, the picker and a real Envoy on http://127.0.0.1:8080
	@exec $(BIN)/epp local

check: $(VENV)/.installed ## format, lint, types, import contracts, unit tests: fast
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_protos.py --check
	EPP_COMPILED=never $(PYTEST) $(PARALLEL) tests/unit tests/architecture

format: $(VENV)/.installed ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(VENV)/.installed ## all tests but the cluster's, with a real Envoy on loopback
	EPP_COMPILED=never $(PYTEST) $(PARALLEL) --ignore=tests/cluster

# Those that go the way of a request.
COMPILED_TESTS := $(addprefix tests/integration/test_,cancellation_storm.py ext_proc_port.py \
	h2spec.py many_streams.py scale.py through_envoy.py)

test-compiled: venv ## unit tests and those of the request path again, on the compiled build
	EPP_COMPILED=always $(PYTEST) $(PARALLEL) tests/unit $(COMPILED_TESTS)

cluster: $(VENV)/.installed ## build Kubernetes, etcd, helm and kustomize, once, into a cache outside the clone; needs Go
	$(BIN)/python -m tests.cluster.build
	$(BIN)/python -m tests.cluster.tools

test-cluster: cluster ## the tests on a real Kubernetes API server
	EPP_COMPILED=never $(PYTEST) tests/cluster --ignore=tests/cluster/node

test-node: cluster ## the chart on a real node; needs root and Debian's containerd
	EPP_COMPILED=never $(PYTEST) -rs tests/cluster/node

dns: $(VENV)/.installed ## build CoreDNS, once, for the tests of test-node that need names; needs Go
	$(BIN)/python -m tests.cluster.node.dns.build

istio: $(VENV)/.installed ## build Istio's control plane, once, for the tests of test-node that need it; needs Go
	$(BIN)/python -m tests.cluster.node.istio.build

manifests: $(VENV)/.installed ## write the parts of manifests/ that are the chart's; needs helm
	$(BIN)/python scripts/render_manifests.py

image: ## build the container image localhost/epp; needs docker
	docker build --tag $(IMAGE) .

kind: image ## a cluster on this machine: gateway, pool, simulated model servers, one request; needs docker, kind, kubectl, helm
	./scripts/kind.sh $(IMAGE)

bench: venv ## cost per request next to the Go floor; needs Go
	$(BIN)/python tests/benchmarks/extproc/bench.py run --out build/bench.jsonl

study: venv ## our scheduling beside seven others: the tables of docs/scheduling.md, ten minutes on two cores
	$(BIN)/python scripts/policy_study.py run
	$(BIN)/python scripts/policy_study.py report

study-quick: venv ## a part of it, in two minutes
	$(BIN)/python scripts/policy_study.py run --quick --out build/policy-study-quick.jsonl
	$(BIN)/python scripts/policy_study.py report --out build/policy-study-quick.jsonl

live-study: venv ## whether policies in front of real processes are in the order of the laboratory: a quarter of an hour
	$(BIN)/python scripts/live_study.py run
	$(BIN)/python scripts/live_study.py report

instructions: venv ## instructions a request takes in our own code: repeatable; needs valgrind
	$(BIN)/python tests/benchmarks/instructions.py

protos: $(VENV)/.installed ## generate epp/_pb from protos/
	$(BIN)/python scripts/generate_protos.py

constraints: $(VENV)/.installed ## write the versions in use to constraints.txt
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | grep -v '^-e\|@' > constraints.txt

clean: ## remove what was made
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
