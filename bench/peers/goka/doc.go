/*
Command goka is the peer that is made with github.com/lovoo/goka. It has the arguments of bench/peer:

	goka <workload> <bootstrap> <input topics, comma-separated> <output topic> <app id>

It reads from the beginning, works until SIGTERM or SIGINT, and exits 0; anything else ends it with 1.
It is at least once, which is all that goka has, so PEER_MODE says nothing. These are the workloads;
what comes out has the bytes that bench/peer's has:

	passthrough  all records, as bytes
	count        the group's table has the counts; each change goes on
	window       goka has no windows: the group's table has the start and count of each key's newest
	             window, by hand. It is right as long as nothing comes late
	join         orders with a joined table, customers; JSON

It has no joins of streams, sessions, or tables by foreign key, so the other workloads are not there.

	PEER_STATE  folder of the local tables (LevelDB)
	PEER_TUNE   plain: goka's defaults, without compression, as the others; tuned: larger batches and
	            channels, too; else its defaults, from the beginning of the input
	PEER_JSON   segmentio: github.com/segmentio/encoding in place of encoding/json

It commits offsets when it likes: PEER_COMMIT_MS says nothing.

It is a module of its own: what goka needs is not what Limpet needs.
*/
package main
