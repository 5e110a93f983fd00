# `make help` lists the targets. Long ones take
#   BUDGET=  how long each sampled test and each fuzz target may run, as in 90s
#            or 10m, or "all"; without it a small sample runs
#   SEED=    makes the same random choices again; it is printed by each test
#   PLAN=    runs only the faults whose names contain it; a failed one prints
#            the command that runs it alone
#   ARGS=    is handed to the program that demo, bench and fleet-up run
# Nothing beside Go, gcc, make, bash and git is needed; Go modules bring the rest.
# The dashboard's test in a browser needs node and npm, too: without them `make
# test` leaves it out and says so, and `make test-browser` fails.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BUDGET ?=
SEED ?=
PLAN ?=
ARGS ?=
export BUDGET SEED PLAN

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO_BUILD = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -X main.version=$(VERSION)"
TOOL = go tool -modfile=tools/go.mod
# Runs one step of a longer target and says how long it took.
STEP = tools/step.sh $(MAKE)

##@ Try it

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nLong targets take BUDGET=10m (or all) and SEED=7; demo, bench and fleet-up take ARGS=.\n'

.PHONY: demo
demo: build ## Run a hub and three spokes, roll out an application, watch it; ARGS=--exit ends by itself
	bin/kronvoy demo $(ARGS)

.PHONY: fleet-up
fleet-up: build ## Start a local fleet without Kronvoy on it; ARGS="--spokes 5"
	bin/kronvoy fleet up $(ARGS)

.PHONY: fleet-down
fleet-down: build ## End the local fleet, leave nothing
	bin/kronvoy fleet down

##@ Build

.PHONY: build
build: ## Build kronvoy-hub, kronvoy-spoke and kronvoy into bin/, as static binaries
	@mkdir -p bin
	$(GO_BUILD) -o bin/ ./cmd/...

.PHONY: controlplane
controlplane: ## Build the local fleet's control plane, and OCM's agent, once, into the cache
	go run ./test/fleet/binaries/cmd/controlplane -ocm

.PHONY: generate
generate: ## Write deep copies, CRDs, schemas and go.mod anew from their sources
	$(TOOL) controller-gen object paths=./apis/...
	rm -f config/crd/*_*.yaml
	$(TOOL) controller-gen crd paths=./apis/... output:crd:dir=config/crd
	tools/ocm-crds.sh
	go generate ./...
	tools/tidy.sh

##@ Check

.PHONY: verify
verify: ## Check what can be checked without running Kronvoy: generated files, lint, imports, manifests
	tools/verify.sh

.PHONY: lint
lint: ## gofmt, go vet and golangci-lint over everything
	tools/lint.sh

.PHONY: vuln
vuln: ## Look for known vulnerabilities, where their database answers
	tools/vuln.sh

.PHONY: manifests
manifests: ## Build the kustomizations and decode every object in them
	go test -count=1 ./config/... # the go command does not see what kustomize reads

##@ Test

.PHONY: test
test: ## All that a change has to pass: verify, unit, integration, browser, and samples of fuzz and faults
	@$(STEP) verify
	@$(STEP) test-unit
	@$(STEP) controlplane
	@$(STEP) test-integration
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(STEP) test-browser; \
	else echo '!!! test-browser is LEFT OUT: node and npm are not installed'; fi
	@$(STEP) fuzz BUDGET=$(or $(BUDGET),10s)
	@$(STEP) test-faults BUDGET=$(or $(BUDGET),150s)

.PHONY: test-all
test-all: ## The same, everything to the end; takes hours
	@$(STEP) test BUDGET=all

.PHONY: test-unit
test-unit: ## Tests that start no control plane
	tools/covered.sh tools/unit.sh

.PHONY: test-integration
test-integration: ## Tests on real control planes, without the sampled ones; RUN=regexp selects
	tools/covered.sh tools/integration.sh whole

.PHONY: test-faults
test-faults: ## Sampled tests on real control planes: crashes, failing answers, up and down; RUN= and PLAN= select
	tools/covered.sh tools/integration.sh sampled

.PHONY: test-rollouts
test-rollouts: ## Rollouts over the regions of a real fleet; RUN=regexp selects
	go test -tags integration -count=1 -v -timeout 30m -run '$(or $(RUN),Rollout|Group)' ./test/regions

.PHONY: test-hostile
test-hostile: ## Attacks by a cluster, an author and a tenant: each succeeds without its guard, and fails with it
	go test -tags integration -count=1 -v -timeout 15m -run '$(or $(RUN),.)' ./test/hostile

.PHONY: test-browser
test-browser: ## The dashboard in a headless Chromium: every view, keyboard, rights, axe-core; needs node; pictures in test/browser/artefacts
	go test -tags browser -count=1 -v -timeout 20m ./test/browser

.PHONY: compare
compare: ## The engine beside kro's: a case for every rule, and random graphs
	tools/covered.sh go test -C test/compare -count=1 -timeout 24h ./...

.PHONY: fuzz
fuzz: ## Fuzz every parser for BUDGET each (30 seconds)
	tools/fuzz.sh

.PHONY: bench
bench: ## Run every benchmark, rewrite docs/benchmarks.md, leave bench.json
	go run ./test/bench $(ARGS)

##@ Clean

.PHONY: clean
clean: ## Remove what was built, and control planes of earlier versions
	rm -rf bin dist bench.json coverage.out
	go run ./test/fleet/binaries/cmd/controlplane -prune
