/*
Processor runs the example topologies: on Kafka, or with a Kafka inside, as a demo.

	go run ./cmd/processor demo                      # live, on an embedded broker, with an audit at the end
	go run ./cmd/processor run email-service --brokers localhost:9092 --state-dir /var/lib/limpet
	go run ./cmd/processor topology describe email-service -o mermaid

A binary of your own has the same commands: see package shell/cli.
*/
package main
