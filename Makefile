# What is done by hand; .ci/run does all of it and is where the longer ones are written.
GO ?= go
export GOTOOLCHAIN ?= local

PORT ?= 0
NODES ?= 1
BENCH ?= .
ARGS ?= --for 10s
PEERS ?= -restore -kill
CHAOS ?= 300
CHAOS_FOR ?= 20m

.DEFAULT_GOAL := build
.PHONY: build test race fuzz mutate lint fmt kafka test-kafka chaos bench bench-compare bench-save bench-peers demo pictures ci clean

build: ## compile everything; the binary goes to ./processor
	$(GO) build ./...
	@if [ -d cmd/processor ]; then $(GO) build -o processor ./cmd/processor; fi

test: ## all that needs nothing but Go
	$(GO) test ./...

race: ## with the race detector (needs a C compiler)
	.ci/run race

fuzz: ## every fuzz target for a while
	.ci/run fuzz

mutate: ## break the rules of core one by one: which test notices?
	$(GO) run ./internal/mutate

lint: ## gofmt, go vet, golangci-lint
	.ci/run gofmt vet lint

fmt: ## format as the linter wants it
	.ci/run fmt

kafka: ## a real Apache Kafka in the foreground: make kafka NODES=3 PORT=9092
	@$(GO) build -o .cache/kafka ./internal/kafkatest/kafka
	@.cache/kafka -nodes $(NODES) -port $(PORT)

test-kafka: ## the tests against a real Apache Kafka (needs Java 17 and Maven)
	.ci/run kafka

chaos: ## so many real faults on a real Kafka, and for so long, at least, and their report: make chaos CHAOS=300 CHAOS_FOR=20m
	LIMPET_REQUIRE_KAFKA=1 LIMPET_CHAOS_FAULTS=$(CHAOS) LIMPET_CHAOS_FOR=$(CHAOS_FOR) LIMPET_CHAOS_COMMIT=$$(git describe --always --dirty --abbrev=12) LIMPET_CHAOS_REPORT=$(CURDIR)/docs/chaos-report.md \
		$(GO) test -run '^TestRealKafkaStorm$$' -count 1 -timeout 0 -v ./internal/chaos

bench-peers: ## Limpet beside Kafka Streams, goka and a loop by hand: make bench-peers PEERS='-runs 1 -records 300000'
	$(GO) run ./bench/peers $(PEERS)

bench: ## make bench BENCH=Step
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./bench/...

bench-compare: ## against the saved results: times, and no more allocations
	$(GO) run ./bench/compare

bench-save: ## save results to compare with, at a release
	$(GO) run ./bench/compare -save

demo: ## the demo, with nothing installed: make demo ARGS='--for 1m --crash-every 2s'
	$(GO) run ./cmd/processor demo $(ARGS)

pictures: ## the pictures in the examples' READMEs, anew
	$(GO) test -count=1 -run TestPictures ./cmd/processor -pictures

ci: ## what every change must pass
	.ci/run

clean:
	rm -rf .cache processor
