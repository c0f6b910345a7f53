/*
Package bench measures. Every figure that the project states comes from a command here,
and stands in RESULTS.md with its machine and commit.

The everyday entry, small and in one process, layer by layer:

	go test -bench . ./bench                          # all layers
	go test -bench Step -count 10 ./bench             # for benchstat

	step_test.go   Task.Step of the email topology: decode, join, encode, commit
	codec_test.go  the codecs of the edges; jsonlibs has other libraries beside codec.JSON
	operators_test.go  each operator alone: ns and allocations a record
	nexmark_test.go  the queries of examples/nexmark: ns and allocations an event
	count_test.go  a count with its store, by how many keys there are
	store_test.go  the state store: read-modify-write, apply, restore
	hop_test.go    a go-streams stage: what a hop costs a record, alone and in batches
	shell_test.go  the whole shell on kfake, in one process: the broker's CPU is in it

Before and after a change, and against the results that were saved last (saved.txt); more
allocations than then fail it, times never do:

	go run ./bench/compare                            # make bench-compare
	go run ./bench/compare -save                      # make bench-save

The whole shell beside a loop written by hand on franz-go (internal/loop), broker and
contenders in processes of their own, output and changelog checked record by record:

	go run ./bench/shellvsloop                        # LIMPET_KAFKA=1: a real Kafka
	go run ./bench/shellvsloop -run zipf -profile DIR # and CPU profiles

The email service with a table of customers beside one that calls a customer service:

	go run ./bench/rpcortable                         # docs/rpc-or-table.md

# How to read the figures

Machines are shared: one run of anything says little. Compare what ran in turns in one
run, by CPU time, and by the median of the ratios of each round. "noise" is what a fixed
piece of work took beside each run, in parts of what it took at best before the first. ns/op of a
Go benchmark is time on the clock; those with a "records" metric work on batches and
report a record as one op, and a commit of 10 000 as the least that they do: with a -benchtime of fewer, such as
100x, they run, and their figures mean nothing.

A test asserts allocations (none in a warm Step), and times only within an order of
magnitude: a time that fails a build on a busy machine teaches nobody anything.
*/
package bench
