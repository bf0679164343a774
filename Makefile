# make demo   the main job on this machine, until Ctrl-C (ARGS="--calls 30 --seed 7" ends by itself)
# make test   everything that must pass: lint, unit, stories, race, end to end with real SIP phones
# make lint   only what needs no run
# make bench  the hot paths, in benchstat's form (COUNT=10 for a comparison)
# make load   what a call costs under load, beside a bare SIP program: minutes, and SIPp
# make fuzz   each fuzz target for FUZZTIME, then MORE times as many kills, power cuts and changed files as make test has
# make build  bin/siaga112

GO       ?= go
ARGS     ?=
COUNT    ?= 1
FUZZTIME ?= 1m
MORE     ?= 10

# Run by version: its hundreds of dependencies stay out of go.mod. The first build takes minutes.
GOLANGCI := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Where real SIP phones are driven a test takes minutes; everywhere else a minute means that it hangs.
E2E := ./cmd/siaga112

# Where processes are killed hundreds of times, as well.
CRASH := ./store/storetest

.PHONY: demo test lint bench load fuzz build tools vet unit crash e2e opened

demo: build
	bin/siaga112 demo $(ARGS)

test: tools lint vet unit crash e2e opened

tools:
	.ci/tools

lint:
	$(GOLANGCI) run ./...

vet:
	$(GO) vet ./...
	$(GO) mod tidy -diff

# The race detector needs cgo and a C compiler; without one .ci/tools has said so.
unit:
	@.ci/gotest 60s $$($(GO) list ./... | grep -v -e '/cmd/siaga112$$' -e '/store/storetest$$')

# Once with the race detector, and then without it hundreds of kills and a thousand changes of what is stored.
crash:
	@.ci/gotest 5m $(CRASH)
	SIAGA112_MORE=4 $(GO) test -timeout 5m -run 'TestKilled|Tampered' ./store ./store/audit $(CRASH)

e2e:
	@.ci/gotest 10m $(E2E)

# DuckDB and openpyxl open what we export; verify.py, which is there too, verifies bundles in e2e. A module of its own, for DuckDB is large; it needs cgo.
opened:
	@cd testdata/opened && if "$${CC:-gcc}" --version >/dev/null 2>&1; then \
		set -x; CGO_ENABLED=1 $(GO) test -timeout 5m ./...; fi

bench:
	$(GO) test -run '^$$' -bench . -skip '^BenchmarkLoad' -benchmem -count $(COUNT) ./...

load: tools
	$(GO) test -timeout 20m -run '^$$' -bench '^BenchmarkLoad' -benchtime 1x -count $(COUNT) $(E2E)

# Minimizing an input that is only interesting is cut short: it would eat most of the time.
fuzz:
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package; \
		done; \
	done
	SIAGA112_MORE=$(MORE) $(GO) test -timeout 2h -run 'TestKilled|TestPowerCut|TestTampered|TestProperties|TestCrashAfter' ./store $(CRASH) ./queue

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...
