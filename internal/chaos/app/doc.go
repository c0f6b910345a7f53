// Command app is the binary of internal/chaos's own applications, which its tests run and
// kill:
//
//	go run ./internal/chaos/app run shop --brokers localhost:9092 --state-dir /tmp/state
//
// With the tag limpetbugs, LIMPET_PLANT names a mistake that is planted (internal/invariant).
package main
