/*
Package sim runs the real core, the real worker, committer, opener and restorer of the
shell, and the store in memory or the real one, over a simulated Kafka, disk and clock. One
number, the seed, decides all that happens:

	r := sim.Run(sim.Options{Seed: 42})
	if r.Err != nil {
		fmt.Println(r.Err, r.Trace) // what went wrong, and the last events before it
	}

The same seed gives the same run, at any GOMAXPROCS: Result.Hash says so.

# How it works

Everything runs on one goroutine at a time. What blocks in production (a transaction, the
opening of a task, a process that starts) is a coroutine, which stands still on both
sides of each effect: before a request has reached the broker, and before its answer is
back. At each step the world chooses one of all the things that could happen next: a
coroutine goes on, a fetch is answered, a worker takes what came, a transaction's marker
is written, the clock moves, a fault strikes (world.go). A crash ends a process's
coroutines where they stand.

# What is simulated

broker.go has logs with last stable offsets, compaction and DeleteRecords; txn.go transactional
ids with epochs, transactions and their markers, and the group's offsets; group.go the
members, generations and assignments of a group; client.go is a process's side of all this:
the ports of package shell, producer.go and twice.go those of a producer. process.go has processes, disk.go and reads.go their disks, faults.go, deleted.go, retention.go and cutoff.go
what can go wrong.

Below the ports: requests are retried where that has the broker handle one twice (twice.go), and else are not (that is
shell/kafka's part, which is tested on Kafka itself), so that an error of a port comes as often as it could come at all.

# What is checked

While it runs, each transaction that commits is computed again, by fresh tasks that take
the same records in the same order as the commit says (check.go, shadow.go): bytes, order and
partitions of outputs and changelogs, offsets and operator times must be equal. So nothing
is lost, doubled or out of order, and nothing aborted is read. Each task that is opened must
have the rows that this other run has. At the end all input must be consumed within a
number of steps, and what came out must be what a naive model of the topology says
(scenario.go). Random topologies (random.go) have all operators; package plain interprets them, and each commit is
compared with what it makes of the same records (plain.go). So is each commit of the sagas and of the event-sourcing example with what
naive models of their tasks write (naive.go, naivesaga.go).

Beside the fresh run it is looked at directly that nothing goes back: committed offsets, operator times
and checkpoints (back.go, watch.go). Each check has a name (checks.go), and mistakes that can be planted which it must be
the first to find (bugs.go).
*/
package sim
