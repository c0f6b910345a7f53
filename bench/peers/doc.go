/*
Command peers measures Limpet beside its peers on one real Apache Kafka, and prints a table.

	go run ./bench/peers                                      # all, 5 runs: a day or so
	go run ./bench/peers -runs 1 -records 300000 -peers limpet,loop -workloads passthrough,count-zipf
	go run ./bench/peers -peers limpet -also before=/tmp/peer     # what a change has brought
	go run ./bench/peers -scale all -peers limpet -runs 3 -markdown scale.md
	nice -n -10 taskset -c 0,1 go run ./bench/peers ...           # on a machine with other work: as RESULTS.md was made
	make bench-peers                                          # the first, with -restore -kill

What it prints is Markdown; -markdown writes the tables to a file as well, with command and machine.
It needs Go, Java 17 and Maven, 8 GiB of memory, and some 10 GB of disk in the temporary folder. Five runs of one
workload and peer take two to five minutes, of Kafka Streams five to ten (query 11 of Nexmark: forty).

The peers, each a process with the arguments and variables of bench/peer:

	limpet, limpet-alo     bench/peer, exactly once and at least once
	limpet-commit          exactly once; of a count, the last change of each commit goes on
	loop, loop-alo         bench/internal/loop: by hand on franz-go, with a Go map
	streams                Kafka Streams, exactly_once_v2, its defaults: a cache of 10 MB
	                       lets one update stand for several
	streams-nocache        tuned, every update goes on: what compares with limpet and loop
	streams-512m           the same with a heap of at most 512 MiB; the others have Java's
	                       default, a quarter of the machine's memory
	streams-tuned          tuned, with a cache that holds all keys
	streams-alo            tuned, every update, at_least_once, a commit each second
	goka                   at least once is all it has; tuned

Not each peer has each workload: goka and limpet-commit have the first five below, the loop those and
streamjoin. In the table the others are "-".

	passthrough, count-uniform, count-zipf, join, window
	             as in bench/peer; each output is compared with what it must be
	streamjoin   pairs of two streams, up to a minute apart
	nexmark-qN   the queries of examples/nexmark, on the same events

Of streamjoin and nexmark-qN the outputs of all peers are compared with each other: every record, in any
order; where rows change and changes may be left out, the last one of each row. (The queries are tested
against models where they are.) Events are such that no bid comes before its auction, since Kafka Streams'
join does not wait for it. Figures are for each record of the first input: bids; of 3 and 8 auctions. They
are taken until all is through the peer's own topics, too. Behind that, events an hour later make the
windows of 5, 7, 8 and 11 close; each run of those has topics of its own.

kafkastreams/Main.java and Nexmark.java, and goka/main.go, have their settings. goka and loop are modules of
their own: what they need is not what Limpet needs. Kafka Streams is built by Maven.

# How it measures

Topics are loaded once, from seeds. In each run every peer processes the same topics, one
after another; who begins is another one each time. CPU is user and system time of the
peer's process from /proc, and so is that of the broker's, between the moments when -from of
the records and all of them are committed, by the group's offsets: start-up and warm-up are
not in it. It is divided by what a fixed piece of work took meanwhile, each half second, in parts of what
it took at best before the first one ("noise"). Each output is read back and compared. State
is flushed and the process ended with SIGTERM in each run; disk is what is left then.

The JVM needs more than a million records to get warm: below 6 million the table says so.

Behind the throughput of passthrough and of counts, latency is measured, at 70 % of what the slowest of the
peers took (at most 100 000 records/s), or at -rate; with -latency that alone, at 5000. Records are sent at
that rate, whatever comes back: latency is from the time at which a record was to be sent to the time at
which a read_committed consumer has it.
Keys are 10 000, each as often or by Zipf as the workload says. Before that, during -warmup but for its last
5 s, they come at ten times the rate, or at 50 000 a second if that is less, so that a JVM is warm.

With -restore, a peer of a count or of join is started again with no local state when it has processed its
topic; one more record in each partition tells when it is back. With -kill it is killed then (kill -9), and
the same is measured of a start with its state. With -keys the state is as large as you
like: 5 000 000 customers are 1 GB.

	go run ./bench/peers -restore -workloads count-uniform -keys 10000000 -records 20000000 -from 0.9 -peers limpet,streams-nocache,loop
	go run ./bench/peers -restore -kill -workloads join -keys 5000000 -records 1000000 -peers limpet,streams-nocache,loop

With -scale, counts of values of 100 bytes grow along one axis at a time (scale.go), -records or more each, and a
table and a plot say what a record costs: where bars are as long as each other, cost grows in a straight line.

	partitions  1 to 256, each a task, in one process
	keys        1k to 30M, or to -keys; as many records and half of that again
	memory      10M keys by Zipf with 640 MiB (the default), 1 GiB, and so much that nothing is evicted
	processes   1, 2 and 4 of a group, a processor each
	processors  1 and 2, with as many workers; the email join of 100k customers, too, which waits for the broker less
	idle        CPU of a process with nothing to do, by tasks

A short run is dominated by what a process does when it begins: take -records 5000000 for figures.

With -recovery, three processes of a peer count records on three brokers, which come to each
of six partitions every 20 ms (recovery.go): one is killed with -9 and started again at once,
one is killed and not started again until others have its tasks, one is ended with SIGTERM.
Time is from that to the first new committed result of the partition that took longest. What
partitions that stay with their processes stop for, while others leave and come, is measured
too.
*/
package main
