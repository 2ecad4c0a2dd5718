# Touchline's commands. `make setup` is a no-op once .venv fits the locks; every other target calls it.
# Two sets of packages: what Touchline runs on (requirements-run.lock, and requirements-build.lock to install itself),
# and for check, test and bench what developers need besides (requirements.lock). Each has a stamp of its own; the
# second adds to the first, and a later `make setup` keeps both up to date.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV   := .venv
PY     := $(VENV)/bin/python
RUN    := $(VENV)/.stamp-run
DEV    := $(VENV)/.stamp
# The newest interpreter on PATH that is new enough; override with `make PYTHON=/path/to/python3.12 setup`.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
# $(call install,options): three tries, as networks fail
define install
for try in 1 2 3; do \
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes $(1) && break; \
	if [ $$try = 3 ]; then echo "touchline: the packages could not be installed" >&2; exit 1; fi; \
	echo "    that failed; trying again"; sleep 3; done
endef

# Tests start hundreds of processes, none of which should have to compile the modules anew.
unexport PYTHONDONTWRITEBYTECODE

RULES   ?= 1
ACTIONS ?= 1
INGEST  ?= 1

# The unit tests share nothing but the processors. Of the others each file stays in one process, which starts a Kafka and
# a PostgreSQL of its own; if servers are given, all tests share those, one at a time. Files come in the order of
# `tests/conftest.py`: xdist by itself puts those with few tests last, which take the longest.
PARALLEL := -n auto --dist worksteal
BY_FILE  := $(if $(TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS)$(TOUCHLINE_DATABASE_URL),,-n auto --dist loadfile --no-loadscope-reorder)

CODE := schemas backbone services
LINT := $(wildcard schemas backbone services deploy tests bench playbooks sources sinks docs)

.PHONY: help setup setup-dev run demo stack test unit check format bench chaos lock vendor clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(RUN) $(if $(wildcard $(DEV)),$(DEV)) ## build .venv, so that .venv/bin/touchline works

setup-dev: $(RUN) $(DEV)

$(RUN): pyproject.toml requirements-run.lock requirements-build.lock
	@if [ -z "$(PYTHON)" ]; then echo "touchline: needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv)" >&2; exit 1; fi
	@echo "==> set-up 1/3: virtual environment in $(VENV) ($$($(PYTHON) --version))"
	@[ -x $(PY) ] && $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || $(PYTHON) -m venv --clear $(VENV)
	@echo "==> set-up 2/3: packages from requirements-run.lock (up to a minute the first time)"
	@$(call install,-r requirements-run.lock -r requirements-build.lock)
	@echo "==> set-up 3/3: touchline itself"
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements.lock | $(RUN)
	@echo "==> what developers need besides: packages from requirements.lock (a minute or two the first time)"
	@$(call install,-r requirements.lock)
	@touch $@

run: setup ## serve everything in one process on embedded storage, http://127.0.0.1:8080
	@exec $(VENV)/bin/touchline serve all

demo: setup ## replay the bundled event log through the canned playbooks
	@exec $(VENV)/bin/touchline demo

stack: setup ## Kafka, PostgreSQL, the three services and the console as processes of this machine
	@exec $(PY) -m deploy.local.stack --ingest $(INGEST) --rules $(RULES) --actions $(ACTIONS)

check: setup-dev ## linters, types, import rules
	$(VENV)/bin/ruff check $(LINT)
	$(VENV)/bin/ruff format --check $(LINT)
	@# mypy and import-linter use one processor each; meanwhile the house's tests have the others
	{ $(VENV)/bin/mypy --strict $(CODE) deploy && $(VENV)/bin/lint-imports; } & types=$$!; \
	$(PY) -m pytest tests/house -q $(PARALLEL); house=$$?; wait $$types && exit $$house

format: setup-dev ## let ruff rewrite what it can
	$(VENV)/bin/ruff check --fix $(LINT); $(VENV)/bin/ruff format $(LINT)

unit: setup-dev ## the fast tests
	$(PY) -m pytest tests/house tests/unit -q -x $(PARALLEL)

test: check ## check, then every test, those on real Kafka and PostgreSQL included
	$(PY) -m deploy.local.need
	$(PY) -m pytest tests/unit $(PARALLEL)
	$(PY) -m pytest --ignore=tests/house --ignore=tests/unit $(BY_FILE)

bench: setup-dev ## the benchmarks; ONLY=memory runs one path
	@[ $(VENV)/.bench-stamp -nt requirements-bench.lock ] || \
		{ $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock && \
		touch $(VENV)/.bench-stamp; } || echo "touchline: the peers could not be installed; their rows are left out" >&2
	@exec $(PY) -m bench

chaos: setup-dev ## every fault at full size (hours); ONLY=test_kills for one, TOUCHLINE_CHAOS_SEED=… for the same again
	$(PY) -m deploy.local.need
	$(PY) -m pytest tests/chaos -m chaos -q -s $(if $(ONLY),-k "$(ONLY)")

lock: setup ## make requirements.lock and requirements-run.lock anew from pyproject.toml
	@exec deploy/lock.sh

vendor: setup ## fetch what others made (vendor.toml) anew and check it; NEWEST=1 takes the newest versions
	@exec $(PY) -m deploy.vendor $(if $(NEWEST),--newest)

clean: ## remove what setup built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
