// Command shellvsloop compares the whole shell, exactly once, with a loop written by hand
// on franz-go (bench/internal/loop): CPU time per record of the client's process, both in
// one run, in turns, on the same topics.
//
//	go run ./bench/shellvsloop                        # kfake; about fifteen minutes
//	go run ./bench/shellvsloop -rounds 1 -scale 0.1   # a smoke test
//	LIMPET_KAFKA=1 go run ./bench/shellvsloop         # a real Apache Kafka
//	go run ./bench/shellvsloop -run count-zipf -profile /tmp/profiles
//
// Broker and contenders are processes of their own. What a contender made is read back
// and compared record by record; a wrong record fails the run. CPU (user and system, of
// all threads, so garbage collection and background flushes too) is counted from the
// commit at 20 % of the records to the one at 100 %; what comes after, the clean stop, is
// a column of its own. The ratio is taken within each round; its median counts.
//
// Limpet runs with its defaults, except that its store writes to disk four times as
// often: of Zipf keys so few change that by default it would not in so short a run, and a
// figure without that cost would be no figure. Its memory is the default.
package main
