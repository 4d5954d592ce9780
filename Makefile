# make serve        set everything up, then serve an example on localhost:9090
# make test         set everything up, then the whole suite        (ARGS='-k name' for a part)
# make conformance  other people's suites on our event loop and servers
# make fuzz         any bytes at all to all that is read, for minutes  (FUZZ_EXAMPLES=20000)
# make soak         mixed load for half an hour: does anything grow?  (SECONDS=600)
# make test-languages  clients in C++ and Node; installs g++, libthrift, Boost's headers and an npm package
# make check        ruff and mypy
# make docs         write the generated pages
# make audit        known vulnerabilities of what we depend on; asks pypi.org, fails without it
# make bench        ours and its peers, side by side, as ratios    (ARGS='http --rounds 5')
# make bench-instructions  instructions a request, beside the committed figures  (ARGS=--write writes these)
# make bench-loop   our event loop and its peers, likewise         (ARGS='--only sleep0 --rounds 3')
# make clean        remove what the others made
#
# PYTHON=python3.12 chooses the interpreter; each minor version has a virtual environment of its own.

PYTHON  ?= python3
EXAMPLE ?= wsgi_notes
# Now, for the whole run: where there is no Python yet (3.11 is what Debian 12 installs), one comes under way.
MINOR   := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo 3.11)
VENV    ?= .venv-$(MINOR)
BIN     := $(VENV)/bin
BASEPLATE_VENV := .venv-baseplate-$(MINOR)

.PHONY: help serve test conformance fuzz soak test-languages system-languages check docs audit bench bench-instructions \
	bench-loop clean system-serve system-test system-instructions

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

serve: system-serve $(VENV)/installed
	cd examples/$(EXAMPLE) && ../../$(BIN)/baseplate-serve --debug app.ini

test: system-test $(VENV)/installed-test
	REQUIRE_PROGRAMS=1 $(BIN)/pytest-gevent $(ARGS)

conformance: system-test $(VENV)/installed-test
	REQUIRE_PROGRAMS=1 $(if $(GEVENT_LOOP),GEVENT_LOOP=$(GEVENT_LOOP)) $(BIN)/pytest-gevent tests/conformance $(ARGS)

test-languages: system-test $(VENV)/installed-test .cache/languages/node_modules/thrift
	REQUIRE_PROGRAMS=1 $(BIN)/pytest-gevent tests/languages $(ARGS)

.cache/languages/node_modules/thrift: | system-languages
	npm install --loglevel error --no-audit --no-fund --prefix .cache/languages thrift@0.17

system-instructions:
	$(call apt-install,$(INSTRUCTIONS_PACKAGES))

system-languages:
	$(call apt-install,$(LANGUAGE_PACKAGES))

fuzz: system-test $(VENV)/installed-test
	REQUIRE_PROGRAMS=1 FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest-gevent --timeout 0 tests/test_fuzz_*.py $(ARGS)

soak: system-test $(VENV)/installed-test
	PYTHONPATH=src $(BIN)/python -u tests/process/soak.py $(SECONDS)

check: system-serve $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: system-serve $(VENV)/installed
	$(BIN)/python docs/generate.py

# What a user gets, and nothing of ours for tests. --strict: what could not be looked up is a failure.
audit: system-serve
	$(PYTHON) -m venv --clear .venv-audit
	.venv-audit/bin/python -m pip install --quiet .
	.venv-audit/bin/python -m pip freeze --exclude baseplate-serve >.venv-audit/requirements.txt
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement .venv-audit/requirements.txt

bench: system-test $(VENV)/installed-bench $(BASEPLATE_VENV)/installed
	PYTHONPATH=tests/gen $(BIN)/python bench/run.py $(ARGS)

bench-instructions: system-serve system-instructions $(VENV)/installed
	PYTHONPATH=tests/gen $(BIN)/python bench/instructions.py $(ARGS)

bench-loop: system-serve $(VENV)/installed-bench
	$(BIN)/python bench/loop.py $(ARGS)

clean:
	rm -rf .venv-* .cache .hypothesis .pytest_cache .mypy_cache .ruff_cache

# A virtual environment, made again when the project's own files ask for something else.

$(VENV)/installed: pyproject.toml | system-serve
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[reload]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group test --group check
	touch $@

$(VENV)/installed-bench: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group bench
	touch $@

$(BASEPLATE_VENV)/installed: pyproject.toml | system-serve
	$(PYTHON) -m venv --clear $(BASEPLATE_VENV)
	$(BASEPLATE_VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BASEPLATE_VENV)/bin/python -m pip install --quiet --group bench-baseplate
	touch $@

# System packages, looked for by what they give; only what is missing is installed.

BASE_PACKAGES = $(shell \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || echo python3 python3-venv; \
	command -v cc >/dev/null || echo gcc libc6-dev; \
	$(PYTHON) -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null \
		|| echo python3-dev)
TEST_PACKAGES = $(shell \
	$(PYTHON) -c 'import test.test_asyncio' 2>/dev/null || \
		$(PYTHON) -c 'import sys; print("libpython%d.%d-testsuite" % sys.version_info[:2])' 2>/dev/null \
		|| echo libpython3.11-testsuite; \
	command -v thrift >/dev/null || echo thrift-compiler; \
	command -v wrk >/dev/null || echo wrk; \
	command -v curl >/dev/null || echo curl; \
	command -v haproxy >/dev/null || ls /usr/sbin/haproxy >/dev/null 2>&1 || echo haproxy; \
	command -v taskset >/dev/null || echo util-linux; \
	ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || echo libfaketime; \
	command -v dot >/dev/null || echo graphviz; \
	command -v prometheus >/dev/null || echo prometheus; \
	command -v redis-server >/dev/null || echo redis-server; \
	command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql)
# Not for everybody: Boost's headers alone take 140 MB.
LANGUAGE_PACKAGES = $(shell \
	command -v g++ >/dev/null || echo g++; \
	ls /usr/include/thrift/protocol/THeaderProtocol.h >/dev/null 2>&1 || echo libthrift-dev; \
	ls /usr/include/boost/version.hpp >/dev/null 2>&1 || echo libboost-dev; \
	command -v npm >/dev/null || echo npm)
INSTRUCTIONS_PACKAGES = $(shell command -v valgrind >/dev/null || echo valgrind)
SECONDS ?= 1800
FUZZ_EXAMPLES ?= 5000
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

define apt-install
$(if $(strip $(1)),$(SUDO) apt-get update -qq && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1),@:)
endef

system-serve:
	$(call apt-install,$(BASE_PACKAGES))

system-test: system-serve
	$(call apt-install,$(TEST_PACKAGES))
