package topology_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/fold"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func ExampleEmitPerCommit() {
	b := topology.New("example")
	topology.EmitPerCommit(topology.Count(Words.Stream(b), "counts")).To(Counts)

	d := playIn(4, b, "words@1 ann a", "words@2 bob b", "words@3 ann c", "words@4 ann d",
		"words@5 bob e")
	show(d, Counts)
	// Output:
	// ann 3 @4
	// bob 1 @2
	// bob 2 @5
}

func ExampleEmitEvery() {
	b := topology.New("example")
	topology.EmitEvery(topology.Count(Words.Stream(b), "counts"), "counts-every", 10*time.Millisecond).To(Counts)

	d := play(b, "words@1 ann a", "words@2 ann b", "words@9 ann c", "words@11 bob d", "words@12 ann e")
	show(d, Counts)
	// Output:
	// ann 1 @1
	// ann 3 @9
	// bob 1 @11
}

func ExampleStream_ToTable() {
	b := topology.New("example")
	Words.Stream(b).ToTable("latest", topology.DeleteWhen(func(w string) bool { return w == "gone" }))

	d := play(b, "words@1 a one", "words@2 b two", "words@3 a three", "words@4 b gone")
	fmt.Println(topologytest.Table[string, string](d, "latest").Rows())
	// Output:
	// map[a:three]
}

// A deletion is a tombstone, which codec.Optional reads.
func ExampleTable_To() {
	b := topology.New("example")
	Rows.Table(b).To(Out)

	show(play(b, "rows@1 a one", "rows@2 a -"), optional(Out))
	// Output:
	// a {one true} @1
	// a { false} @2
}

// A row that leaves is deleted downstream.
func ExampleTable_Filter() {
	b := topology.New("example")
	Rows.Table(b).Filter(long).To(Out)

	show(play(b, "rows@1 a word", "rows@2 b no", "rows@3 a no"), optional(Out))
	// Output:
	// a {word true} @1
	// a { false} @3
}

func ExampleMapTable() {
	b := topology.New("example")
	loud := topology.MapTable(Rows.Table(b), strings.ToUpper)
	topology.Join(Words.Stream(b), loud, "join", plus).To(Out)

	show(play(b, "rows@1 a row", "words@2 a word"), Out)
	// Output:
	// a word+ROW @2
}

func ExampleTable_ToStream() {
	b := topology.New("example")
	Rows.Table(b).ToStream().To(Out)

	show(play(b, "rows@1 a one", "rows@2 a -", "rows@3 a two"), Out)
	// Output:
	// a one @1
	// a two @3
}

func ExampleChanges() {
	b := topology.New("example")
	changes := topology.Changes(Rows.Table(b))
	topology.Map(changes, func(c topology.Change[string]) string { return c.Old.Or("-") + " > " + c.New.Or("-") }).To(Out)

	show(play(b, "rows@1 a one", "rows@2 a two", "rows@3 a -"), Out)
	// Output:
	// a - > one @1
	// a one > two @2
	// a two > - @3
}

func ExampleSuppress() {
	b := topology.New("example")
	topology.Suppress(Rows.Table(b), "quiet", topology.UntilTimeLimit(10*time.Millisecond), topology.MaxRecords(1000), topology.EmitEarly()).To(Out)

	show(play(b, "rows@1 a one", "rows@2 a two", "rows@11 b three"), Out)
	// Output:
	// a two @2
}

// What is held back is at most 24 bytes: when it is more, the oldest change goes on before its
// time. Without EmitEarly the topology would stop.
func ExampleMaxBytes() {
	b := topology.New("example")
	topology.Suppress(Rows.Table(b), "quiet", topology.UntilTimeLimit(time.Hour), topology.MaxBytes(24), topology.EmitEarly()).To(Out)

	show(play(b, "rows@1 a one", "rows@2 b two", "rows@3 c three"), Out)
	// Output:
	// a one @1
}

// One result for each window, when it has closed.
func ExampleUntilClosed() {
	b := topology.New("example")
	counts := topology.Count(Words.Stream(b).Window(topology.Tumbling(10*time.Millisecond)), "counts")
	topology.Suppress(counts, "final", topology.UntilClosed()).Filter(func(n int64) bool { return n > 1 }).To(Per10ms)

	show(play(b, "words@1 a x", "words@2 b x", "words@3 a x", "words@10 a x"), Per10ms)
	// Output:
	// a@0..10 2 @3
}

func ExampleCount() {
	b := topology.New("example")
	topology.Count(Words.Stream(b), "counts").To(Counts)

	show(play(b, "words@1 a x", "words@2 b x", "words@3 a x"), Counts)
	// Output:
	// a 1 @1
	// b 1 @2
	// a 2 @3
}

func ExampleReduce() {
	b := topology.New("example")
	topology.Reduce(Amounts.Stream(b), "highest", fold.Max).To(Sums)

	show(play(b, "amounts@1 a 3", "amounts@2 a 5", "amounts@3 a 4"), Sums)
	// Output:
	// a 3 @1
	// a 5 @2
	// a 5 @3
}

func ExampleAggregate() {
	square := func(n int) int { return n * n }
	b := topology.New("example")
	topology.Aggregate(Amounts.Stream(b), "squares", fold.SumOf(square)).To(Sums)

	show(play(b, "amounts@1 a 3", "amounts@2 a 4"), Sums)
	// Output:
	// a 9 @1
	// a 25 @2
}

// Several streams in one aggregate (cogroup).
func ExampleAlso() {
	b := topology.New("example")
	count := func(n int, _ string) int { return n + 1 }
	topology.Aggregate(Amounts.Stream(b), "both", fold.Sum[int], topology.Also(Words.Stream(b), count)).To(Sums)

	show(play(b, "amounts@1 a 10", "words@2 a x", "amounts@3 a 5"), Sums)
	// Output:
	// a 10 @1
	// a 11 @2
	// a 16 @3
}

func ExampleDeleteWhen() {
	b := topology.New("example")
	balance := topology.Reduce(Amounts.Stream(b), "balance", fold.Sum, topology.DeleteWhen(func(n int) bool { return n == 0 }))
	balance.To(Sums)

	d := play(b, "amounts@1 a 5", "amounts@2 b 7", "amounts@3 a -5")
	fmt.Println(topologytest.Table[string, int](d, "balance").Rows())
	// Output:
	// map[b:7]
}

func ExampleStateCodec() {
	b := topology.New("example")
	topology.Count(Words.Stream(b), "counts", topology.StateCodec(codec.JSON[int64]()))

	plan, err := b.Build()
	fmt.Println(plan.Subtopologies()[0].Tables[0].Schema, err)
	// Output:
	// string -> json(int64) <nil>
}

// The rows of each group; a row that changes is taken out and put in again.
func ExampleCountTable() {
	b := topology.New("example")
	topology.CountTable(Rows.Table(b), "by-letter", func(row string) string { return row[:1] }).To(Counts)

	show(play(b, "rows@1 1 ant", "rows@2 2 ape", "rows@3 1 bee"), Counts)
	// Output:
	// a 1 @1
	// a 2 @2
	// a 1 @3
	// b 1 @3
}

func ExampleReduceTable() {
	b := topology.New("example")
	parity := func(n int) int64 { return int64(n % 2) }
	topology.ReduceTable(Amounts.Table(b), "totals", parity, fold.Sum[int], fold.Less[int])

	d := play(b, "amounts@1 a 3", "amounts@2 b 5", "amounts@3 a 4")
	fmt.Println(topologytest.Table[int64, int](d, "totals").Rows())
	// Output:
	// map[0:4 1:5]
}

func ExampleAggregateTable() {
	letter := func(row string) string { return row[:1] }
	length := func(row string) int { return len(row) }
	b := topology.New("example")
	topology.AggregateTable(Rows.Table(b), "lengths", letter, fold.AvgOf(length), fold.AvgLess(length))

	d := play(b, "rows@1 1 ant", "rows@2 2 apple", "rows@3 1 bee")
	fmt.Println(topologytest.Table[string, fold.Avg[int]](d, "lengths").Rows())
	// Output:
	// map[a:{5 1} b:{3 1}]
}
