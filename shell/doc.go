/*
Package shell is the imperative shell: it does all the I/O around the deterministic
tasks of package core. It fetches batches, steps tasks, commits what they did in one
Kafka transaction, and keeps the committed state.

	broker, err := kafka.Open(ctx, kafka.Config{Brokers: []string{"localhost:9092"}})
	if err != nil {
		return err
	}
	defer broker.Close()
	plan, err := emailservice.Topology().Build()
	if err != nil {
		return err
	}
	return shell.Run(ctx, plan, shell.Config{Broker: broker, StateDir: "/var/lib/limpet"})

# How a record travels

Each worker is a member of the consumer group and three go-streams stages:

		FetchSource ---batches, revocations---> TaskFlow ---requests---> CommitSink
		                                           ^                         |
		                                           +-------- results --------+

	  - FetchSource (stages.go) waits for what the Fetcher read and for what the group says.
	  - TaskFlow steps the tasks (worker.go: fetched). As often as pace says it seals what they
	    did (begin) and hands it over as one request; while that is under way it steps on,
	    into the second generation.
	  - CommitSink (commit.go) produces outputs and changelog, adds the input offsets, and
	    ends the transaction.
	  - Back in TaskFlow (settled, apply), the store takes the rows and the tasks advance. Or
	    they abort, or are opened anew.

Log first, store second: a crash at any point loses at most what the changelog has.

# The order that exactly once rests on

 1. Everything a transaction holds was acknowledged before its offsets are sent, and its
    offsets before it ends.
 2. Local state applies after EndTxn was answered, never before.
 3. A task opens with the committed offsets first, then the changelogs' high watermarks
    (open.go).
 4. A task's next owner begins after its last commit was settled: Revoked is answered
    then (membership.go: closeFinished).
 5. When the outcome is not known the producer is opened anew, which ends what was open,
    before the committed offsets are read (commit.go: recover).

# Global tables

A process reads the topics of its global tables beside its workers (global.go), up to their
ends before the first task begins. A worker lets its tasks see what came since between two
Steps.

# What may be swapped

Kafka is behind the ports of port.go; package shell/kafka implements them on sarama. A
worker is a state machine without goroutines, so the simulator (internal/sim) runs it on
ports of its own, by a Stepper. All go statements are in run.go.

Errors of Run wrap the sentinels of this package, of core and of statestore.
*/
package shell
