# Every command of the project is one word; CONTRIBUTING.md says when to use which.
# `make demo` and `make test` do all the set-up themselves.
PYTHON := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: install demo test unit browser lint format bench docs lock clean

install:
	@$(PYTHON) tools/install.py

demo: install
	@exec $(BIN)/js2 demo

# The quick ones first: a slip shows in seconds.
test: lint unit browser

unit: install
	$(BIN)/pytest -m "not browser"

browser: install
	$(BIN)/pytest -m browser

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	@$(BIN)/python tools/bench.py

docs: install
	$(BIN)/mkdocs build --strict

lock:
	@$(PYTHON) tools/lock.py

clean:
	rm -rf .venv node_modules site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov build *.egg-info
