# Everything a newcomer needs: `make demo`. Needs Python 3.11 or newer with its venv module; the
# environment (.venv) is made from uv.lock on first use and again when the lock changes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV := .tool/bin/uv
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
export npm_config_update_notifier := false
unexport PYTHONDONTWRITEBYTECODE # with it, each process of ours would compile all it imports anew

NPM := web/with-node npm --prefix web
WEB_SOURCES := $(shell find web -name node_modules -prune -o -name test -prune -o -type f -print)
# not ours: roles know their name from a setting, a connection is one file, upstreams are groups
NGINX_SKIPS := host_spoofing,worker_rlimit_nofile_vs_connections,stale_dns_cache
SITE := src/miaosha/web/index.html

.PHONY: help install demo stack test test-fast test-servers conformance lab drills check bench bench-scale bench-sockets profile docs web screenshots clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed $(SITE) ## make the environment from the lock files, and build the pages

demo: .venv/.installed $(SITE) ## run a whole sale on this machine; ARGS="--crowd 5000 …" passes options on
	@exec $(BIN)/miaosha demo $(ARGS)

stack: .venv/.installed $(SITE) ## the same on private RabbitMQ, Valkey cluster, MariaDB and replica (apt packages); ARGS too
	@exec $(BIN)/miaosha demo --stack full $(ARGS)

test: .venv/.installed $(SITE) ## the whole suite, part by part; ARGS="-k name" passes options on
	@$(NPM) --silent test
	@exec $(BIN)/python -m tests.suites $(ARGS)

test-fast: .venv/.installed ## under two minutes, between edits: no platform, browser, RabbitMQ, MariaDB, PostgreSQL
	@exec $(BIN)/python -m tests.suites --fast $(ARGS)

test-servers: .venv/.installed $(SITE) ## of these the tests on RabbitMQ, MariaDB and PostgreSQL alone
	@exec $(BIN)/python -m tests.suites --servers $(ARGS)

conformance: .venv/.installed ## hold the sockets against the official suites: SUITES=<checkout of socketio/socket.io>
	@test -n "$(SUITES)" || { echo "Say where the official suites are: git clone https://github.com/socketio/socket.io, then" >&2; \
	  echo "SUITES=socket.io make conformance. Each of their cases is also a test in tests/sockets/test_conformance.py." >&2; exit 2; }
	@exec $(BIN)/python -m tests.sockets.conformance "$(SUITES)"

SEEDS ?=
lab: .venv/.installed ## many processes, many faults, virtual time, from one seed: a minute of them, or SEEDS=1000:1060
	@exec $(BIN)/python -m tests.lab run $(SEEDS) $(ARGS)

PART ?=
drills: .venv/.installed $(SITE) ## the long fault drills (2 to 3 h), or PART=kills, stack, cluster, model, big, …
	@exec $(BIN)/python -m tests.drills $(PART) $(ARGS)

check: .venv/.installed web/node_modules/.installed ## format, lint, types, layers, tidiness: what CI runs first
	$(BIN)/ruff format --check src tests bench examples docs
	$(BIN)/ruff check src tests bench examples docs
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/tidy
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/gixy --skips $(NGINX_SKIPS) deploy/nginx/nginx.conf
	$(NPM) --silent run check

STACK ?= embedded
bench: .venv/.installed ## measure the purchase path (10 minutes); STACK=full, ARGS="--seconds 5 --only rush,over"
	@exec $(BIN)/python -m bench run --stack $(STACK) $(ARGS)

bench-scale: .venv/.installed ## the rush with 1, 2, 4 publishers and 1, 2 consumers
	@exec $(BIN)/python -m bench scale $(ARGS)

bench-sockets: .venv/.installed ## what a socket costs, here and elsewhere; ARGS="--only big300k" (or million)
	@exec $(BIN)/python -m bench sockets $(ARGS)

ROLE ?= publisher
profile: .venv/.installed ## a flame graph of ROLE=publisher in a rush, to bench/results
	@exec $(BIN)/python -m bench profile --role $(ROLE) --seconds 10 $(ARGS)

docs: .venv/.installed web/node_modules/.installed ## draw the pages that come from the code
	$(BIN)/python -m docs.draw.settings > docs/settings.md
	$(BIN)/python -m docs.draw.reservation docs/reservation.md
	$(BIN)/python -m docs.draw.limits docs/sockets.md
	$(BIN)/python -m docs.draw.schema docs/schema.md
	$(BIN)/miaosha openapi > docs/openapi.json
	PATH="$$PWD/$(BIN):$$PATH" deploy/nginx/generate
	$(NPM) --silent run api

screenshots: .venv/.installed $(SITE) ## draw the README's pictures: a demo with a crowd, in a browser
	@exec $(BIN)/python -m tests.web.pictures

clean: ## remove the environment and every cache
	rm -rf .venv .tool .mypy_cache .ruff_cache .pytest_cache .hypothesis web/node_modules src/miaosha/web

web: $(SITE) ## build the pages

$(SITE): $(WEB_SOURCES) web/node_modules/.installed
	@$(NPM) --silent run build

web/node_modules/.installed: web/package-lock.json | .venv/.installed
	@$(NPM) ci --loglevel=error --no-audit --no-fund
	@touch $@

.venv/.installed: uv.lock pyproject.toml | $(UV)
	@$(UV) sync --locked --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

$(UV):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Miaosha needs Python 3.11 or newer; this is %d.%d. Say which one: make PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python has no venv module. On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys; bad = set(os.getcwd()) & set("?\\:\n"); bad and sys.exit("This directory has " + " and ".join(map(repr, sorted(bad))) + " in its path, which Python or Node.js cannot work with. Clone into another one.")'
	@$(PYTHON) -m venv .tool
	@.tool/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
