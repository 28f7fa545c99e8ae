# Everything a clone needs: `make demo` runs a network, `make test` runs the tests; both do all the set-up.
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := mls ordering node tests benchmarks

.PHONY: demo test check bench lock clean help

help:
	@echo "make demo    four node daemons form a group on this machine and prove that they agree"
	@echo "make test    the whole test suite"
	@echo "make check   ruff and mypy --strict"
	@echo "make bench   benchmarks against the floor of the primitives"
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

bench: .venv/.dev-ready
	$(BIN)/python -m benchmarks

lock: .venv/.dev-ready
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

.venv/.run-ready: requirements.lock pyproject.toml tools/setup.sh
	@PYTHON=$(PYTHON) tools/setup.sh run

.venv/.dev-ready: requirements-dev.lock pyproject.toml tools/setup.sh
	@PYTHON=$(PYTHON) tools/setup.sh dev

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
