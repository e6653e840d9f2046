# Every command a person types. `make demo` and `make test` are complete on a fresh Debian machine
# with Python 3.11, make and the package registries.
SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: help demo live dashboard test test-fast soak check bench lock install debian clean

help:
	@echo "make demo       the whole way on a simulated market, in ./demo"
	@echo "make live       a simulated day as a live feed, 300 times as fast (some 3 minutes), in ./rehearsal"
	@echo "make dashboard  a simulated day live, scored, in the browser: http://127.0.0.1:8600"
	@echo "make test       install what the tests need, then make check and all tests"
	@echo "make test-fast  the tests that take seconds"
	@echo "make soak       120 faults at drawn times and named points; SPYMASTER_SOAK=N for N"
	@echo "make check      ruff, mypy --strict, generated files current"
	@echo "make bench      speed and memory, written to docs/benchmarks.md"
	@echo "make lock       constraints.txt anew from pyproject.toml"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; PYTHON=/path/to/python3.11 make $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  test $$(id -u) = 0 || { echo "python3-venv is missing. Run once: sudo apt-get install -y python3-venv"; exit 1; }; \
	  apt-get update -q && apt-get install -y -q python3-venv && $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@rm -f $(VENV)/.installed-*; touch $(STAMP)

debian:
	@command -v mount >/dev/null || { test $$(id -u) = 0 && apt-get install -y -q mount || echo "run as root once: apt-get install -y mount"; }
	@command -v java >/dev/null && command -v mvn >/dev/null || { test $$(id -u) = 0 && apt-get update -q && apt-get install -y -q default-jre-headless maven || echo "the tests against a Kafka broker are left out; run as root once: apt-get install -y default-jre-headless maven"; }
	@command -v chromium >/dev/null || { test $$(id -u) = 0 && apt-get update -q && apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core || echo "the tests in a browser are left out; run as root once: apt-get install -y chromium"; }
	@command -v node >/dev/null && command -v npm >/dev/null || { test $$(id -u) = 0 && apt-get update -q && apt-get install -y -q nodejs npm || echo "KQL is not checked by Microsoft's language service; run as root once: apt-get install -y nodejs npm"; }

demo: install
	$(BIN)/spymaster demo demo

live: install
	test -d rehearsal/market || $(BIN)/spymaster simulate rehearsal/market --sessions 1
	rm -rf rehearsal/data
	$(BIN)/spymaster rehearse rehearsal/market/*.dbn.zst --speed 300x --root rehearsal/data

dashboard: install
	$(BIN)/spymaster dashboard --demo rehearsal/dashboard

test: debian install
	@$(BIN)/python -c 'from spymaster.engines.warm import warm_up; warm_up()' & \
	$(MAKE) --no-print-directory check && wait
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: install
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

soak: install
	SPYMASTER_SOAK=$${SPYMASTER_SOAK:-120} $(BIN)/python -m pytest -s tests/e2e/test_soak.py tests/e2e/test_damage.py tests/live/test_live_soak.py tests/live/test_chain_soak.py

check: install
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/python -m spymaster.contracts.markdown --check
	$(BIN)/python -m spymaster.dashboard.tiles.paper --check

bench: install
	$(BIN)/python -m bench.history
	$(BIN)/python -m bench.live --write
	$(BIN)/python -m bench.serving --write
	$(BIN)/python -m bench.scoring --write
	$(BIN)/python -m bench.spark --write

lock:
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q uv; }
	$(BIN)/uv pip compile -q --python-version 3.11 --extra dev --no-header -o constraints.txt pyproject.toml
	@grep -q '^uv==' constraints.txt || $(BIN)/uv --version | sed 's/uv /uv==/; s/ .*//' >> constraints.txt

clean:
	rm -rf $(VENV) demo rehearsal .mypy_cache .ruff_cache .hypothesis dist
