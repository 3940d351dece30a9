# Everything a user or a tester needs: `make record` and `make test` install what is missing.

PYTHON   ?= python3
VENV     := .venv
BIN      := $(VENV)/bin
DURATION ?= 30
RECORD   ?=
# Files side by side, the longest first; the lab's tests are not, there is one lab.
ASIDE    := $(BIN)/pytest -q --numprocesses=auto --dist=loadfile --no-loadscope-reorder tests/verify tests/unit

.PHONY: setup record report test test-fast lint verify lab-test browser-test screenshots matrix support-matrix kmod-soak kmod-leaks bench savings example papers scenarios caps clean help

help:
	@echo "make record [DURATION=30]  profile this machine's WireGuard, or the lab's, and report"
	@echo "make test-fast             unit tests and the verifier, 75 s on two quiet cores; without the slow matrices"
	@echo "                           of constructed recordings and simulations, and with fewer random examples, than make test"
	@echo "make test                  everything, real kernels included"
	@echo "make browser-test          the dashboard in a real browser, under three minutes"
	@echo "make screenshots           pictures of every page of the dashboard, into build/screenshots"
	@echo "make matrix                the kernel's own WireGuard test on every module variant and kernel, 40 minutes"
	@echo "make support-matrix        record on every kernel and module, write docs/support-matrix.md; an hour"
	@echo "make kmod-soak             100,000 packets each way over a bad link, on every variant; 10 minutes"
	@echo "make kmod-leaks            load, use and unload every variant 50 times; 15 minutes"
	@echo "make scenarios             plant bottlenecks in the lab, construct the others, and print what is true against what was found; 15 minutes"
	@echo "make caps                  caps predicted at half load against what passes at full load, in the lab; 5 minutes"
	@echo "make bench                 what wgprof costs and how fast it drains, beside its peers"
	@echo "make savings               what the inline module saves, measured in the lab (half an hour)"
	@echo "make papers                the model of scaling against the published results, 10 minutes"
	@echo "make example               regenerate reports/example.html and its recording"

setup: $(VENV)/.installed
	@tools/install-packages --tests

$(VENV)/.installed: pyproject.toml requirements-dev.txt tools/make-venv
	@tools/make-venv "$(PYTHON)" "$(VENV)"
	@touch $@

record: $(VENV)/.installed
	@tools/install-packages
	@tools/record-and-report "$(BIN)/wgprof" "$(DURATION)" $(RECORD)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test-fast: setup
	@$(ASIDE) -m "not slow" --hypothesis-profile=quick

lab-test: setup
	@$(BIN)/pytest -q tests/lab

browser-test: setup
	@$(BIN)/pytest -q tests/browser

screenshots: setup
	@$(BIN)/python -m tests.browser.screenshots $(RECORD)

test: setup lint
	@$(ASIDE)
	@$(BIN)/pytest -q --durations=5 tests/browser
	@$(BIN)/pytest -q --durations=15 tests/lab

matrix: setup
	@$(BIN)/python -m tests.lab.kmod.matrix

support-matrix: setup
	@$(BIN)/python -m tests.lab.support

kmod-soak: setup
	@$(BIN)/python -m tests.lab.kmod.soak

kmod-leaks: setup
	@$(BIN)/python -m tests.lab.kmod.leaks

scenarios: setup
	@planted=0; $(BIN)/python -m tests.lab.scenarios || planted=$$?; \
	  $(BIN)/python -m tests.lab.scenarios --constructed && exit $$planted

caps: setup
	@$(BIN)/python -m tests.lab.caps

bench: setup
	@$(BIN)/python -m bench.drain
	@$(BIN)/python -m bench.overhead
	@$(BIN)/python -m bench.analysis
	@$(BIN)/python -m bench.readers
	@$(BIN)/python -m bench.ticks
	@$(BIN)/python -m bench.views
	@$(BIN)/python -m bench.dashboard

example: setup
	@$(BIN)/wgprof record --target lab --duration 12 --output reports/example.wgprof.new
	@mv reports/example.wgprof.new reports/example.wgprof
	@$(BIN)/wgprof report reports/example.wgprof --output reports/example.html

papers: setup
	@$(BIN)/python -m bench.papers

savings: setup
	@$(BIN)/python -m bench.savings

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
