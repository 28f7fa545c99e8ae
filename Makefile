# Everything a clone needs: `make demo` runs a network, `make test` runs the tests; both do all the set-up.
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := mls ordering node tests benchmarks

.PHONY: demo test check interop model campaign fuzz fuzz-api faults bench lock clean help

help:
	@echo "make demo    four node daemons form a group on this machine and prove that they agree"
	@echo "make test    the whole test suite"
	@echo "make check   ruff and mypy --strict"
	@echo "make interop every script of the interop runner in every suite and mode, the long one too (needs the vectors)"
	@echo "make model   SPIN searches the ordering rules and their mutants (needs the packages spin and gcc)"
	@echo "make campaign  a million simulated schedules of the ordering core, in the background's background; can be resumed"
	@echo "make fuzz    hostile bytes for the MLS engine, FUZZ_S=60 seconds for each target"
	@echo "make fuzz-api  schemathesis over the local API of a real node, API_EXAMPLES=100 requests of each kind"
	@echo "make faults  real daemons under faults for five minutes; renews docs/faults.md"
	@echo "make bench   benchmarks: the engine against the floor of the primitives, the ordering against its bounds"
	@echo "make lock    renew the pinned requirements"
	@echo "make clean   remove .venv and caches"

demo: .venv/.run-ready
	$(BIN)/conclave testnet demo $(DEMO)

test: .venv/.dev-ready
	$(BIN)/python -m pytest -q -n 2 $(TEST)

check: .venv/.dev-ready
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/ruff format --check $(PACKAGES)
	$(BIN)/mypy

interop: .venv/.dev-ready
	CONCLAVE_INTEROP=all $(BIN)/python -m pytest -q -n 2 tests/mls/interop/test_scripts.py

model: .venv/.dev-ready
	$(BIN)/python -m tests.model $(MODEL)

campaign: .venv/.dev-ready
	$(BIN)/python -m tests.sim.campaign $(CAMPAIGN)

FUZZ_S ?= 60
fuzz: .venv/.fuzz-ready
	for target in decode process join; do \
		nice $(BIN)/python -m tests.fuzz.$$target -max_total_time=$(FUZZ_S) || exit 1; \
	done

API_EXAMPLES ?= 100
fuzz-api: .venv/.dev-ready
	FUZZ_API_EXAMPLES=$(API_EXAMPLES) $(BIN)/python -m pytest -q -n 2 tests/node/test_api_fuzz.py

faults: .venv/.dev-ready
	$(BIN)/python -m tests.faults --report docs/faults.md $(FAULTS)

bench: .venv/.dev-ready
	$(BIN)/python -m benchmarks

lock: .venv/.dev-ready
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	echo 'atheris>=3,<3.1' | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o requirements-fuzz.lock

.venv/.run-ready: requirements.lock pyproject.toml tools/setup.sh
	@PYTHON=$(PYTHON) tools/setup.sh run

.venv/.dev-ready: requirements-dev.lock pyproject.toml tools/setup.sh
	@PYTHON=$(PYTHON) tools/setup.sh dev

.venv/.fuzz-ready: .venv/.dev-ready requirements-fuzz.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-fuzz.lock
	@touch $@

clean:
	rm -rf .venv .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
