# Everything runs in a virtual environment of its own; nothing but Python, make and a network is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
NIIVUE := command -v npm >/dev/null && $(PYTHON) alerts/web/vendoring.py || echo "without npm the page has no MPR and no 3-D view"

.PHONY: demo test check lint faults fuzz vendor setup clean

demo: $(VENV)/.ready
	$(BIN)/tocsin demo --exit --report demo-report.json

test: $(VENV)/.ready-dev
	$(BIN)/pytest -n 2 --dist loadfile tests/unit
	$(BIN)/pytest tests/integration tests/e2e

# The fast gate, before every commit.
check: lint
	$(BIN)/pytest -q -n 2 --dist loadfile tests/unit

lint: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The whole fault matrix as a table: every crash point of every service, bad networks, full disks; about ten minutes.
faults: $(VENV)/.ready-dev
	$(BIN)/python -m tests.faults

# 10,000 new arbitrary or spoiled inputs: PDUs, association requests, commands, headers, fragments, compressed frames.
fuzz: $(VENV)/.ready-dev
	HYPOTHESIS_PROFILE=explore TOCSIN_FUZZ_EXAMPLES=1120 $(BIN)/pytest -q -k "fuzzed or spoiled or arbitrary" \
		tests/integration/dicom_listener/test_listener_fuzzed.py tests/unit/streams/test_fuzzed_frames.py \
		tests/unit/dicom_listener/test_incoming.py tests/unit/dicom_listener/test_encapsulated_frames.py

# NiiVue for the page's MPR and 3-D view, from npm. Part of the set-up where npm is there.
vendor:
	$(PYTHON) alerts/web/vendoring.py

setup: $(VENV)/.ready-dev

$(VENV)/.ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable .
	$(NIIVUE)
	touch $@

$(VENV)/.ready-dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	$(NIIVUE)
	touch $@ $(VENV)/.ready

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-report.json
