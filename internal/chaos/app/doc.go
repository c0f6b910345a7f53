// Command app is the binary of internal/chaos's second application, which its tests
// run and kill:
//
//	go run ./internal/chaos/app run order-count --brokers localhost:9092 --state-dir /tmp/state
package main
