# A fresh machine needs git, make and Python 3.11 or newer; the rest comes by itself.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.PHONY: help demo test test-spark test-python release own own-year own-from-feast check docs docs-reference pictures bench bench-online bench-history bench-materialize bench-push bench-sdk bench-startup airflow up down sync

# The first Python that is new enough: 3.11 is what the project is developed on.
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$name"; break; }; done)

NEED_PYTHON = test -n "$(PYTHON)" || { \
	 echo "Skewless needs Python 3.11 or newer on the PATH (Debian, Ubuntu: apt install python3 python3-venv), or make PYTHON=/path/to/python3.11" >&2; \
	exit 1; }

# A uv on the PATH is used where it is recent enough, else one of our own.
UV_VERSION := 0.13.9
UV_OLDEST := 0.7
TOOLS := .skewless/tools
UV := $(shell found=$$(uv --version 2>/dev/null | cut -d' ' -f2); \
	if [ -n "$$found" ] && [ "$$(printf '%s\n' $(UV_OLDEST) "$$found" | sort -V | head -n 1)" = "$(UV_OLDEST)" ]; \
	then command -v uv; else echo $(TOOLS)/bin/uv; fi)

BIN := .venv/bin
# Inside the environment, so that who deletes that deletes the mark too.
SYNCED := .venv/.synced

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1: \2/p' $(MAKEFILE_LIST)

demo: $(SYNCED) ## the whole story on real flights, from nothing to a prediction over HTTP
	@$(BIN)/skewless demo

test: $(SYNCED) ## all tests, two files at a time
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-spark: $(SYNCED) ## beside Feast's Spark store: 450 MB more, and Java 17
	$(UV) sync --frozen --all-extras --group spark
	$(BIN)/pytest tests/feast/spark

# Where PYTHON is another, its environment is beside the developer's own.
OTHER := .skewless/python-$(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
test-python: | $(UV) ## contract, journey and wheel on another Python: make test-python PYTHON=python3.13
	@$(NEED_PYTHON)
	UV_PROJECT_ENVIRONMENT=$(OTHER) $(UV) sync --frozen --all-extras --python "$(PYTHON)"
	$(OTHER)/bin/pytest tests/contract tests/journey tests/packaging

release: $(SYNCED) | $(UV) ## build wheel and sdist, check them, install them everywhere here; nothing is uploaded
	@$(BIN)/python -m tests.packaging.release --uv "$(UV)"

own: $(SYNCED) | $(UV) ## a project of one's own from a built wheel: five lines, three minutes
	@$(BIN)/python -m tests.own.first_prediction --uv "$(UV)"

own-year: $(SYNCED) | $(UV) ## what changes in a year of that project, against one running server; 15 minutes
	@$(BIN)/python -m tests.own.year --uv "$(UV)"

own-from-feast: $(SYNCED) | $(UV) ## Feast's template on Feast's stores, moved to ours, run again; 3 minutes
	@$(BIN)/python -m tests.own.from_feast --uv "$(UV)"

check: $(SYNCED) ## style, types and import arrows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

docs: $(SYNCED) ## the documentation as a site with search, in .skewless/docs/site
	@$(BIN)/python -c 'import zensical' 2>/dev/null || $(UV) sync --frozen --all-extras --group docs
	@$(BIN)/python -m tests.docs.site

docs-reference: $(SYNCED) ## write the generated parts of the documentation anew
	@$(BIN)/python -m tests.docs.reference

pictures: $(SYNCED) ## draw the rooms of the code and their imports, in infra/pictures
	@$(BIN)/python -m tests.docs.rooms

bench: bench-online bench-push bench-sdk bench-materialize bench-history ## all benchmarks, one after the other

bench-online: $(SYNCED) ## predictions over HTTP against the assembled stack and the floors, 11 minutes
	@$(BIN)/python -m tests.bench.online

bench-push: $(SYNCED) ## single pushed rows against Feast's feature server, 3 minutes
	@$(BIN)/python -W ignore -m tests.bench.push

bench-sdk: $(SYNCED) ## reads and pushes through Feast's SDK against its Redis store, 2 minutes
	@$(BIN)/python -W ignore -m tests.bench.sdk

bench-history: $(SYNCED) ## point-in-time joins against Feast's stores, Polars and a plain scan, 11 GB of memory
	@$(BIN)/python -m tests.bench.history

airflow: $(SYNCED) ## a local Airflow at http://127.0.0.1:8791 until Ctrl-C; UNPAUSE=1 lets its DAGs run
	@exec $(BIN)/python -W ignore -m skewless.local_airflow.stack $(if $(UNPAUSE),--unpause)

bench-materialize: $(SYNCED) ## filling the store against Feast and a bare socket, 2 minutes
	@$(BIN)/python -m tests.bench.materialize

bench-startup: $(SYNCED) ## processor time of each verb before it does anything, 2 minutes; not part of `make bench`
	@$(BIN)/python -m tests.bench.startup

up: $(SYNCED) ## start the embedded Redis
	@$(BIN)/skewless up

down: $(SYNCED) ## stop the embedded Redis
	@$(BIN)/skewless down

sync: $(SYNCED) ## install what uv.lock says

$(SYNCED): pyproject.toml uv.lock | $(UV)
	@$(NEED_PYTHON)
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$(PYTHON)" .venv
	$(UV) sync --frozen --all-extras --compile-bytecode
	@touch $@

$(TOOLS)/bin/uv:
	@$(NEED_PYTHON)
	@"$(PYTHON)" -m venv $(TOOLS) || { echo "Python lacks its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; rm -rf $(TOOLS); exit 1; }
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
