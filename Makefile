# Two targets do all set-up on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# what a bare Debian lacks, and the commands by which we notice
APT    := $(shell command -v curl >/dev/null || echo curl)

.PHONY: run test check bench bench-origin bench-fanout prove soak kafka gameday clean

run: $(READY)
	@$(MAKE) -s system 2>/dev/null || true  # the line to try needs curl; the service does not
	@$(BIN)/streamer quickstart $(ARGS)

test: $(READY) system wiki
	@$(MAKE) -s apt-java || echo "the tests on Kafka are skipped"
	@$(MAKE) -s apt-chromium || echo "the tests in a browser are skipped"
	@$(MAKE) -s apt-nginx || echo "the tests behind nginx are skipped"
	@$(MAKE) -s apt-prometheus || echo "the tests of alerts and dashboards are skipped"
	@$(MAKE) -s clients
	@$(BIN)/python -m pytest -n 3 --dist loadgroup $(ARGS)

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(READY)
	@$(BIN)/python -m tests.bench $(ARGS)

# What following the wikis costs in requests and in waiting, in virtual time: a minute or three.
bench-origin: $(READY)
	@$(BIN)/python -m tests.bench.bench_origin --json build/bench-origin.json $(ARGS)

# Server CPU per delivery beside Nchan's and naive aiohttp's: half an hour; ARGS=--quick for three minutes.
bench-fanout: $(READY)
	@$(MAKE) -s apt-fanout || echo "what needs Nchan is skipped"
	@$(BIN)/python -m tests.bench.fanout --json build/bench-fanout.json $(ARGS)

# Real wikis, kills, cuts: three partners must hold what the wikis hold. `soak`: hundreds of kills.
# KAFKA=1 or 3: on so many brokers, which are killed too, with workers that are stopped, leave and join.
prove: $(READY) system wiki $(if $(KAFKA),apt-java)
	@$(BIN)/python -m tests.prove $(if $(KAFKA),--kafka --brokers $(KAFKA) --kills 30) --json build/prove.json $(ARGS)

soak: $(READY) system wiki apt-java
	@$(BIN)/python -m pytest -m soak
	@$(BIN)/python -m tests.prove --changes 5000 --kills 500 --cuts 200 --json build/soak.json $(ARGS)
	@$(BIN)/python -m tests.prove --kafka --brokers 3 --changes 2000 --kills 300 --rounds 20 --cuts 100 \
	  --json build/soak-kafka.json $(ARGS)

# A broker of its own until Ctrl-C; ARGS="--count 3" for three, SECURE=1 for SASL/SCRAM over TLS and ACLs.
kafka: $(READY)
	@$(MAKE) -s apt-java
	@$(BIN)/python -m deploy.kafka $(if $(SECURE),--secure) $(ARGS)

# One thing breaks, and you find out which: ARGS="--scenario NAME", --list, or --script for all by themselves.
gameday: $(READY)
	@$(MAKE) -s apt-prometheus || echo "without Prometheus: symptoms are seen in /metrics alone"
	@$(BIN)/python -m deploy.gameday $(ARGS)

clean:
	rm -rf $(VENV) build data .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Made anew when what it is made from changes; else a moment.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  rm -rf $(VENV); $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
	    rm -rf $(VENV); $(MAKE) -s apt PACKAGES=python3-venv && $(PYTHON) -m venv $(VENV); }; }
	@echo "installing (once, about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

.PHONY: system apt apt-java apt-chromium
apt-java:
	@command -v java >/dev/null && command -v mvn >/dev/null || \
	  $(MAKE) -s apt PACKAGES="openjdk-17-jre-headless maven"

# Drives the page for people. One small font will do: no test looks at the shapes of letters.
apt-chromium:
	@command -v chromium >/dev/null || { \
	  echo "installing Chromium for the tests of the page (once, about a minute)"; \
	  $(MAKE) -s apt PACKAGES="--no-install-recommends chromium fonts-dejavu-core"; }

# The edge, as it is in deploy/nginx.
.PHONY: apt-nginx
apt-nginx:
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || { \
	  echo "installing nginx for the tests of the edge (once, a moment)"; \
	  $(MAKE) -s apt-stopped PACKAGES=nginx; }

# Scrapes the service and judges the rules of deploy/prometheus; the tests start what they need.
.PHONY: apt-prometheus
apt-prometheus:
	@command -v prometheus >/dev/null && command -v promtool >/dev/null && command -v amtool >/dev/null || { \
	  echo "installing Prometheus for the tests of alerts (once, about a minute)"; \
	  $(MAKE) -s apt-stopped PACKAGES="prometheus prometheus-alertmanager"; }

# Clients in other languages for tests/clients, where there is a Node and a Go. These are not installed for
# them: npm alone is some 400 Debian packages.
.PHONY: clients
clients: $(READY)
	@PYTHONPATH=tests:. $(BIN)/python -m clients.programs

system:
	@if [ -n "$(APT)" ]; then $(MAKE) -s apt PACKAGES="$(APT)"; fi

# A real MediaWiki for tests/wiki, which skip without it.
.PHONY: wiki
wiki: $(READY)
	@missing="$$($(BIN)/python tests/harness/mediawiki/packages.py)"; test -z "$$missing" || { \
	  echo "installing MediaWiki for its tests (once, about a minute)"; \
	  $(MAKE) -s apt-stopped PACKAGES="$$missing" || echo "the tests of real wikis are skipped"; }

# The peer of bench-fanout, and a compiler for its load client.
.PHONY: apt-fanout
apt-fanout:
	@test -e /usr/lib/nginx/modules/ngx_nchan_module.so && command -v cc >/dev/null || { \
	  echo "installing nginx with Nchan, and a C compiler (once, about a minute)"; \
	  $(MAKE) -s apt-stopped PACKAGES="nginx libnginx-mod-nchan gcc libc6-dev"; }

# Packages of servers, or that want one: none is to start.
POLICY := /usr/sbin/policy-rc.d
.PHONY: apt-stopped
apt-stopped:
	@made=; if [ "$$(id -u)" = 0 ] && [ ! -e $(POLICY) ]; then \
	    printf '#!/bin/sh\nexit 101\n' >$(POLICY) && chmod +x $(POLICY) && made=$(POLICY); fi; \
	  $(MAKE) -s apt PACKAGES="--no-install-recommends $(PACKAGES)"; code=$$?; \
	  test -z "$$made" || rm -f "$$made"; exit $$code

# Installs Debian packages where that is allowed, and says what to do where it isn't.
apt:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $(PACKAGES) >/dev/null; \
	else echo "please install: $(PACKAGES)"; exit 1; fi
