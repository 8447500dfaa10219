# Each command sets up what it needs, in .venv and folders called node_modules; from the second time on it starts at once.
# `make` alone lists them. ARGS goes to the program behind a command: make serve ARGS="dify --port 0"

PYTHONS := python3.13 python3.12 python3.11 python3
PYTHON ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# Twice quiet: errors only.
INSTALL := $(BIN)/pip --disable-pip-version-check install --quiet --quiet --constraint constraints.txt
SDK := examples/pytest-sdk
NODE_DONE := tests/node/node_modules/.done
GENERATED := examples/generated-clients
EXAMPLE_NODE := examples/node-test
EXAMPLE_VITE := examples/vite-chat
HAS_NODE := command -v npm >/dev/null 2>&1 && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null
VITE_NODE := const [a, b] = process.versions.node.split(".").map(Number); \
  process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)
HAS_VITE_NODE := command -v npm >/dev/null 2>&1 && node -e '$(VITE_NODE)' 2>/dev/null
# Outside of CI it is no failure that something is not there.
MISSING := { [ "$${CI:-}" != true ]; exit; }
# The examples find `chat-emulator` on the path, as they would in a project of their own.
WITH_EMULATOR := PATH="$(CURDIR)/$(BIN):$$PATH"

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help serve test test-generated lint types imports contract contract-deep mutants mutants-sample bench-quick bench
.PHONY: build test-wheel lint-container docs example-node example-pytest example-vite foreign clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  ARGS="…" goes on: make serve ARGS="dify --port 0", make test ARGS="-k paging"'

serve: $(VENV)/.runtime ## answer calls on http://127.0.0.1:8787 until stopped
	@exec $(BIN)/chat-emulator serve $(ARGS)

test: $(VENV)/.tools ## run the tests; those that need Node only where there is Node 18 or newer
	@if $(HAS_NODE); then \
	  $(MAKE) $(NODE_DONE) && exec $(BIN)/pytest -n 2 --dist loadgroup -m "not contract" $(ARGS); \
	elif [ "$${CI:-}" = true ]; then \
	  echo "CI runs every test, and some need Node 18 or newer with npm: install them." >&2; exit 1; \
	else \
	  echo "No Node 18 or newer with npm here: the tests that need it are left out." >&2; \
	  exec $(BIN)/pytest -n 2 --dist loadgroup -m "not contract and not node" $(ARGS); \
	fi

lint: $(VENV)/.tools ## look for mistakes and unformatted code (ruff)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.tools ## check the types (mypy, strict)
	@$(BIN)/mypy

imports: $(VENV)/.tools ## check who may import whom (import-linter)
	@$(BIN)/lint-imports --no-logo

contract: $(VENV)/.tools ## hold the server against its specs (schemathesis, 50 examples an operation; some minutes)
	@$(BIN)/pytest -n 2 -m contract --timeout 300
	@$(BIN)/python scripts/contract.py $(ARGS)

contract-deep: $(VENV)/.tools ## the same for a night: 10 seeds × 300 examples
	@$(BIN)/python scripts/contract.py --seeds 1-10 --examples 300 $(ARGS)

mutants: $(VENV)/.tools ## break the server on purpose, in all known ways, and see what the contract notices
	@$(BIN)/python scripts/mutants.py $(ARGS)

mutants-sample: $(VENV)/.tools ## a hundred of the ways, for each push
	@$(BIN)/python scripts/mutants.py --sample 100 $(ARGS)

test-generated: $(VENV)/.runtime $(GENERATED)/python/.venv/.done $(GENERATED)/typescript/node_modules/.done ## generate clients from every spec, and let them call the emulator
	@$(BIN)/python $(GENERATED)/run.py $(ARGS)

foreign: $(VENV)/.runtime ## be somebody else's repository: the wheel alone, 400 tests at once, what the plugin costs
	@$(BIN)/python scripts/foreign.py $(ARGS)

# The wheel is of what stands here now; its version may be the one that is installed there already.
example-pytest: $(VENV)/.runtime ## run the tests of examples/pytest-sdk, in its own environment with the built wheel
	@rm -rf $(SDK)/.wheel
	@$(BIN)/python -m hatchling build --target wheel --directory $(CURDIR)/$(SDK)/.wheel >/dev/null
	@[ -x $(SDK)/.venv/bin/python ] || $(BIN)/python -m venv $(SDK)/.venv
	@$(SDK)/.venv/bin/pip --disable-pip-version-check install --quiet --quiet --constraint constraints.txt \
	  $(SDK)/.wheel/*.whl --requirement $(SDK)/requirements-test.txt
	@$(SDK)/.venv/bin/pip --disable-pip-version-check install --quiet --quiet --force-reinstall --no-deps $(SDK)/.wheel/*.whl
	@cd $(SDK) && exec .venv/bin/pytest -n 2 $(ARGS)

bench-quick: $(VENV)/.runtime ## measure calls a second beside a bare Starlette route, and start-up
	@$(BIN)/python scripts/bench_quick.py $(ARGS)

bench: $(VENV)/.runtime ## the same, with more and longer runs
	@$(BIN)/python scripts/bench_quick.py --pairs 15 --seconds 3 --starts 15 $(ARGS)

example-node: $(VENV)/.runtime ## run the example for Node's own test runner; needs Node 18 or newer
	@if $(HAS_NODE); then :; else \
	  echo "This example needs Node 18 or newer with npm (Debian and Ubuntu: apt install nodejs npm)." >&2; $(MISSING); \
	fi; \
	$(MAKE) $(EXAMPLE_NODE)/node_modules/.done && cd $(EXAMPLE_NODE) && $(WITH_EMULATOR) npm test --silent -- $(ARGS)

example-vite: $(VENV)/.runtime ## build the chat page and run its tests in Chromium; needs Node 20.19, 22.12 or newer
	@if $(HAS_VITE_NODE); then :; else \
	  echo "This example needs Node 20.19, 22.12 or newer with npm." >&2; $(MISSING); \
	fi; \
	if ! [ -x "$${CHROMIUM:-/usr/bin/chromium}" ]; then \
	  echo "This example needs Chromium (Debian: apt install chromium); CHROMIUM=/path/to/chrome names another." >&2; $(MISSING); \
	fi; \
	$(MAKE) $(EXAMPLE_VITE)/node_modules/.done && cd $(EXAMPLE_VITE) && npm run --silent build && \
	$(WITH_EMULATOR) npm test --silent -- $(ARGS)

build: $(VENV)/.runtime ## build the sdist, and the wheel from it, into dist/
	@rm -rf dist
	@$(BIN)/python -c 'import build' 2>/dev/null || $(INSTALL) build
	@$(BIN)/python -m build --no-isolation --outdir dist .

test-wheel: $(VENV)/.tools ## build sdist and wheel, look into them, test what they install on each Python there is
	@$(BIN)/python scripts/try_wheel.py $(ARGS)

lint-container: $(VENV)/.container ## look for mistakes in the Dockerfile (hadolint)
	@$(BIN)/hadolint --failure-threshold style Dockerfile

docs: $(VENV)/.docs ## build the documentation into site/, and look into what was built
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)
	@$(BIN)/python scripts/check_site.py site

clean: ## remove everything that the commands above made
	@rm -rf $(VENV) build dist site tests/node/node_modules schemathesis-report .schemathesis *.egg-info
	@rm -rf examples/*/.venv examples/*/.wheel examples/*/node_modules $(EXAMPLE_VITE)/dist $(EXAMPLE_VITE)/test-results
	@rm -rf $(GENERATED)/python/.venv $(GENERATED)/python/build $(GENERATED)/typescript/node_modules $(GENERATED)/typescript/build
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate must run (a version manager's shim may not), be new enough, and be able to make an environment with pip.
$(VENV)/.created:
	@found=; for python in $(or $(PYTHON),$(PYTHONS)); do \
	  if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    found=$$python; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11 or newer with venv is needed; tried: $(or $(PYTHON),$(PYTHONS))." >&2; \
	  echo "Install it (Debian and Ubuntu: apt install python3 python3-venv; macOS: brew install python)," >&2; \
	  echo "or say where it is: make PYTHON=/path/to/python3.11 …" >&2; \
	  exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$found --version); this is done once." >&2; \
	$$found -m venv $(VENV)
	@touch $@

# hatchling comes from the constraints as well, so the project is built without an environment of its own.
$(VENV)/.runtime: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing what serving needs." >&2
	@$(INSTALL) editables hatchling
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/.tools: $(VENV)/.runtime
	@echo "Installing the tools and what the tests need." >&2
	@$(INSTALL) --no-build-isolation --editable '.[contract,dev,test]'
	@touch $@

$(VENV)/.container: $(VENV)/.runtime
	@$(INSTALL) --no-build-isolation --editable '.[container]'
	@touch $@

$(VENV)/.docs: $(VENV)/.runtime
	@echo "Installing what the documentation is built with." >&2
	@$(INSTALL) --no-build-isolation --editable '.[docs]'
	@touch $@

%/node_modules/.done: %/package.json %/package-lock.json
	@echo "Installing what $* needs." >&2
	@cd $* && npm ci --loglevel error >/dev/null
	@touch $@

# Its versions are not those of the server.
$(GENERATED)/python/.venv/.done: $(VENV)/.created $(GENERATED)/python/requirements.txt
	@echo "Installing the generator of Python clients." >&2
	@$(BIN)/python -m venv $(GENERATED)/python/.venv
	@$(GENERATED)/python/.venv/bin/pip --disable-pip-version-check install --quiet --quiet --requirement $(GENERATED)/python/requirements.txt
	@touch $@

$(GENERATED)/typescript/node_modules/.done: $(GENERATED)/typescript/package.json $(GENERATED)/typescript/package-lock.json
	@$(HAS_NODE) || { echo "Generating TypeScript clients needs Node 18 or newer with npm." >&2; exit 1; }
	@echo "Installing the generator of TypeScript clients." >&2
	@cd $(GENERATED)/typescript && npm ci --loglevel error >/dev/null
	@touch $@
