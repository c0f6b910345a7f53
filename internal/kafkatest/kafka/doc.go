// Command kafka runs a real Apache Kafka in the foreground, on 127.0.0.1, until
// ^C: what kafkatest starts for tests, for trying things out by hand.
//
//	go run ./internal/kafkatest/kafka -nodes 3 -port 9092 -dir /tmp/kafka
package main
