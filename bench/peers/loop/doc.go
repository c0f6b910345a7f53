/*
Command loop is the peer that is written by hand on github.com/twmb/franz-go, with Go maps as state:
what a good engineer makes of one workload, and no framework. bench/internal/loop has the loop itself;
here it gets the arguments of bench/peer:

	loop <workload> <bootstrap> <input topics, comma-separated> <output topic> <app id>

It reads from the beginning, works until SIGTERM or SIGINT, commits, leaves its group and exits 0;
anything else ends it with 1. What comes out has the bytes that bench/peer's has:

	passthrough  all records
	count        per key, in a map; each change goes on, and to the changelog
	window       start and count of each key's newest window, in a map
	join         orders with customers, a map that is read in full at the start; JSON by segmentio/encoding
	streamjoin   both inputs' records of the last minute, in maps by key

State is restored from the changelog of count, window and streamjoin, which has all changes. It is
made for one process: what becomes of its state when the group moves partitions is not looked after.

	PEER_MODE        eos: transactions (default); alo: flush, then commit offsets
	PEER_COMMIT_MS   commit interval (default: 100)
	PEER_CPUPROFILE  file for a CPU profile of the whole run

It is a module of its own, for the sake of its JSON library.
*/
package main
