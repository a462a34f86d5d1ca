# Every command of the project is one word; CONTRIBUTING.md says when to use which.
# `make demo` and `make test` do all the set-up themselves.
PYTHON := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

# Which cloud `test-contract` holds to the contract: devcloud, or the real services of `make openstack`.
CLOUD ?= devcloud
# Which rig `openstack` and `openstack-down` mean: first, or second to have another beside it.
RIG ?= first

.PHONY: install demo test unit browser lint format bench docs lock clean \
	openstack openstack-down openstack-prepare test-contract test-openstack test-openstack-long test-boot images image-minimal

install:
	@$(PYTHON) tools/install.py

demo: install
	@exec $(BIN)/js2 demo

# The quick ones first: a slip shows in seconds.
test: lint unit browser

unit: install
	$(BIN)/pytest -m "not browser and not openstack and not boot" --numprocesses 3 --dist loadfile

browser: install
	$(BIN)/pytest -m "browser and not openstack and not boot" --numprocesses 2 --dist loadfile

# A real OpenStack on this machine (docs/openstack.md); needs root.
openstack: install
	@$(BIN)/python -m tests.openstack.rig up --rig $(RIG)

openstack-down: install
	@$(BIN)/python -m tests.openstack.rig down --rig $(RIG)

openstack-prepare: install
	@$(BIN)/python -m tests.openstack.rig prepare

test-contract: install
	$(if $(filter openstack,$(CLOUD)),@$(BIN)/python -m tests.openstack.rig up --no-show)
	JS2_CONTRACT_CLOUD=$(CLOUD) $(BIN)/pytest tests/contract

test-openstack: install
	@$(BIN)/python -m tests.openstack.rig up --no-show
	$(BIN)/pytest tests/openstack -m "openstack and not long"

# What takes minutes more: two regions, each with a rig of its own, of which one dies. The second rig goes whatever happens.
test-openstack-long: install
	@$(BIN)/python -m tests.openstack.rig up --no-show
	@trap '$(BIN)/python -m tests.openstack.rig down --rig second' EXIT; trap 'exit 130' INT TERM; \
	$(BIN)/python -m tests.openstack.rig up --no-show --rig second && $(BIN)/pytest tests/openstack -m "openstack and long"

test-boot: install
	$(BIN)/pytest tests/openstack tests/library_boot -m boot

# Images of the library that need no cloud: built here and booted (docs/images.md); needs root. IMAGES="minimal r" for some.
images: install
	@$(BIN)/python tools/images.py $(IMAGES)

# The short way: one image, from nothing or from what is left of the last build, and its boot test.
image-minimal: install
	@$(BIN)/python tools/images.py minimal

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
	rm -rf .venv node_modules site .openstack .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov build *.egg-info
