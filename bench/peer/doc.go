/*
Command peer is the door for any outside harness that compares stream processors: one
workload from start to SIGTERM, measured from outside.

	go build -o peer ./bench/peer
	PEER_STATE=/tmp/state ./peer count localhost:9092 orders counts my-app

The arguments are the workload, the bootstrap brokers, the input topics (comma-separated),
the output topic and the application id. Input and output topics must exist; internal
ones are made, with as many partitions as the input. It reads from the earliest offset and
works until SIGTERM (or SIGINT): then it commits, leaves its group and exits 0. Anything
else ends it with 1, a wrong command line with 2.

	passthrough  a filter that keeps everything, and a map of the bytes
	count        records per key; out: key, count as 8 bytes big endian
	window       the same in tumbling minutes of record time, no grace; out: key, window
	             start in ms and count as 16 bytes big endian
	join         two inputs, orders,customers, both keyed by customer id, values JSON as in
	             examples/emailservice; out: key, the email. Customers are a table: of the
	             topic itself where it is compacted, else with a changelog
	streamjoin   two inputs, both keyed alike: pairs of records that are up to a minute apart, both
	             ends included, no grace; out: key, the first 4 bytes of the left value and of the
	             right one
	nexmark-qN   query N of examples/nexmark, N being 0 1 2 3 5 7 8 11 13 17 18 20, with its keys and
	             values. Inputs are bids; of 3 and 8 auctions,persons, of 13 bids,side-input, of 20
	             bids,auctions. Tables as in join

These variables say the rest:

	PEER_STATE       folder of the local state (default: state)
	PEER_MODE        eos, exactly once (default), or alo, at least once
	PEER_EMIT        every (default): each change of a count goes on; commit: the last of each
	                 key in a commit, as a cache does it elsewhere
	PEER_COMMIT_MS   fixed commit interval (default: shell.Config's, which follows the load)
	PEER_WORKERS     members of the group in this process (default 1)
	PEER_MEMORY_MB   what the process takes, about: --memory of the run command (default 640)
	PEER_CPUPROFILE  file for a CPU profile of the whole run
	PEER_MEMPROFILE  file for a profile of the memory in use at the end
	PEER_FLUSHES     file that gets a line, the wall clock in ms, for each time that rows
	                 were handed to disk
*/
package main
