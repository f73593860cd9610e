# Bijou: make run, make test. All else is for who works on it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export CGO_ENABLED ?= 0

BIJOU := bin/bijou
BUILD := go build -buildvcs=auto -trimpath -ldflags='-s -w' -o $(BIJOU) ./cmd/bijou
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
ARGS ?=

.PHONY: help run build test check bench web web-check test-go test-browser test-failover test-api test-facts test-engines test-race bundled openapi clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: ## Set everything up and run the service: then open the address that it prints (ARGS="--listen 127.0.0.1:9090" for another)
	@dist/need ffmpeg || echo 'The service runs without it, but cannot add films.' >&2
	@$(BUILD)
	@exec $(BIJOU) up $(ARGS)

build: ## Build the one binary, bin/bijou
	$(BUILD)

test: check web-check test-go test-browser ## Set everything up and run all tests that take no more than ten minutes

check: ## Format, vet, house rules, static analysis
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'Not formatted:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet -tags engines ./...
	go test .
	$(STATICCHECK) -tags engines ./...

test-go: build ## Go tests: rooms, engines, contracts, the command line, whole-system tests
	@dist/need ffmpeg
	BIJOU=$(CURDIR)/$(BIJOU) go test ./...

ENGINES := ./engine/cached ./engine/cassandra ./engine/kafka ./engine/memcached ./engine/mysql ./engine/s3

test-engines: build ## Each networked engine by its contract suite and under faults, and the service on all of them, against the real servers
	@dist/need ffmpeg
	BIJOU=$(CURDIR)/$(BIJOU) go test -tags engines -count=1 -timeout 30m $(ARGS) $(ENGINES)
	BIJOU=$(CURDIR)/$(BIJOU) go test -tags engines -count=1 -timeout 30m $(ARGS) -run 'WithoutItsMemcached|InABucket|EveryStore' ./test/system

test-race: ## The same Go tests under the race detector (slow)
	@dist/need ffmpeg gcc
	BIJOU=$(CURDIR)/$(BIJOU) CGO_ENABLED=1 go test -race -timeout 30m ./...

web: ## Rebuild the member site (web/dist)
	@PATH="$$(dist/node):$$PATH"; cd web; npm ci --no-audit --no-fund --silent; npm run --silent build

web-check: ## Check the member site, and that the built files are those of the sources
	@PATH="$$(dist/node):$$PATH"; cd web; npm ci --no-audit --no-fund --silent; npm run --silent check; npm test --silent
	@cp -r web/dist "$${TMPDIR:-/tmp}/bijou-dist-$$$$"; PATH="$$(dist/node):$$PATH"; (cd web; npm run --silent build); \
	  diff -r "$${TMPDIR:-/tmp}/bijou-dist-$$$$" web/dist || { echo 'web/dist is not what its sources make: type make web and commit'; exit 1; }; rm -r "$${TMPDIR:-/tmp}/bijou-dist-$$$$"

test-browser: build ## The member site in a real browser, against the built binary
	@dist/need ffmpeg chromium
	@PATH="$$(dist/node):$$PATH"; cd test/browser; npm ci --no-audit --no-fund --silent; BIJOU=$(CURDIR)/$(BIJOU) npm test --silent

test-failover: build ## Three players and the site, each with the box that serves them struck in four ways (nine minutes)
	@dist/need ffmpeg chromium
	@PATH="$$(dist/node):$$PATH"; cd test/browser; npm ci --no-audit --no-fund --silent; BIJOU=$(CURDIR)/$(BIJOU) npm run --silent failover

test-api: build ## The whole interface fuzzed by its OpenAPI document, as guest, member and operator (two minutes)
	go run ./test/api -bijou $(BIJOU) -schemathesis "$$(dist/schemathesis)" $(ARGS)

test-facts: build ## A million facts from 200 simulated players, and viewers counted as in a recount, the service killed ten times meanwhile (three minutes)
	@dist/need ffmpeg
	BIJOU=$(CURDIR)/$(BIJOU) go test ./test/system -count=1 -timeout 15m -run 'TestEveryAcknowledgedFact|CountsViewers' -v -args -facts.total=1000000 -facts.kills=10

bench: build ## Measure, and write the figures to docs/measurements
	@dist/need ffmpeg nginx wrk taskset=util-linux curl
	go run ./test/bench $(ARGS)

openapi: ## Write web/openapi.json from the declarations, and the site's types from it
	go test ./app -run OpenAPI -update
	@PATH="$$(dist/node):$$PATH"; cd web; npm ci --no-audit --no-fund --silent; npm run --silent api

bundled: build ## Encode the films that travel with the program anew
	app/bundled/make $(BIJOU)

clean: ## Remove what was built
	rm -rf bin web/node_modules test/browser/node_modules
