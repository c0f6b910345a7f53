// Package cluster gives a benchmark its Kafka: kfake in a child process, so that its
// CPU time is not a contender's, or a real Apache Kafka.
package cluster
