# Two commands from a fresh clone: `make demo`, then `make test`. Needs Python 3.11+, Java 17+ and Maven.

BIN := .venv/bin
INSTALLED := .venv/installed
JAVA := $(or $(EXCHANGE_JAVA),java)
MAVEN := $(or $(EXCHANGE_MAVEN),mvn)
# The first interpreter that really runs and is new enough.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

# Even if the shell forbids it: tests start hundreds of processes, and each would compile every module anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test siege long lint bench scale broker clean tools

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools $(INSTALLED) ## Run the whole exchange once on a small city, and say what came of it
	@$(BIN)/exchange demo

# Four at once: a test on two cores waits for half of its time.
test: tools $(INSTALLED) ## Run all tests but the sieges, on a real Kafka and a real PostgreSQL
	@$(BIN)/pytest -m "not siege" -n 4 --dist loadfile --no-loadscope-reorder

siege: tools $(INSTALLED) ## Run the long tests: many kills and revocations, a million records, five times the examples, the installed package
	@$(BIN)/pytest -m siege -n 2
	@$(BIN)/pytest -n 2 --dist loadfile --hypothesis-profile=siege tests/property

# Rounds of 10,000 that differ by seed: each says at once what it found, and with which seed.
long: tools $(INSTALLED) ## Hold the kernels against the Avro library and the row-wise path on 200,000 random examples a property
	@seq 20 | xargs -P 2 -I {} $(BIN)/pytest -q --timeout=0 --hypothesis-profile=long --hypothesis-seed={} \
		tests/property/test_records_view.py tests/property/test_connect_columns.py tests/property/test_connect_csv.py \
		tests/property/test_connect_arrow.py

lint: $(INSTALLED) ## Check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: tools $(INSTALLED) ## Measure the router against its peers (QUICK=1: under 5 minutes)
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick)

scale: $(INSTALLED) ## Run a year of household cases, or a month of car quotas (SYSTEM=quota), at SIZE=0.01 of the city
	@$(BIN)/python -m tests.scale $(or $(SYSTEM),household) --size $(or $(SIZE),0.01) --check \
		$(if $(DATABASE),--database $(DATABASE))

broker: tools $(INSTALLED) ## Start the local Kafka
	@$(BIN)/exchange broker start

clean: ## Stop what runs here; remove the venv, builds and caches (data in .exchange stays)
	@if [ -x $(BIN)/exchange ]; then $(BIN)/exchange down; fi
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything that is missing at once, each with the way to get it.
tools:
	@missing=0; \
	lacks() { echo "missing: $$1" >&2; echo "  get it: $$2" >&2; missing=1; }; \
	[ -n "$(PYTHON)" ] || lacks "Python 3.11 or newer" \
		"apt-get install python3 python3-venv · brew install python · or make PYTHON=/path/to/python3"; \
	java=$$($(JAVA) -version 2>&1 | sed -n 's/.* version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p'); \
	[ "$${java:-0}" -ge 17 ] || lacks "Java 17 or newer$${java:+ (found $$java)}" \
		"apt-get install default-jre-headless · brew install openjdk · or set EXCHANGE_JAVA=/path/to/java"; \
	command -v "$(MAVEN)" >/dev/null || lacks "Maven" \
		"apt-get install maven · brew install maven · or set EXCHANGE_MAVEN=/path/to/mvn"; \
	exit $$missing

# Installed anew only when what is to be installed has changed.
$(INSTALLED): pyproject.toml constraints.txt | tools
	@echo "installing Python packages into .venv"
	@$(PYTHON) -m venv .venv || { echo "  get it: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
