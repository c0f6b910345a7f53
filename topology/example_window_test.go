package topology_test

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/fold"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

const moment = 10 * time.Millisecond

// The topics of windowed counts.
var (
	Per10ms    = topology.NewTopic("per-10ms", codec.Windowed(codec.String, moment), codec.Int64)
	PerSession = topology.NewTopic("per-session", codec.SessionWindowed(codec.String), codec.Int64)
	Ever       = topology.NewTopic("ever", codec.UnlimitedWindowed(codec.String), codec.Int64)
)

func ExampleTumbling() {
	b := topology.New("example")
	topology.Count(Words.Stream(b).Window(topology.Tumbling(moment)), "counts").To(Per10ms)

	show(play(b, "words@1 a x", "words@7 a x", "words@12 a x"), Per10ms)
	// Output:
	// a@0..10 1 @1
	// a@0..10 2 @7
	// a@10..20 1 @12
}

func ExampleHopping() {
	b := topology.New("example")
	topology.Count(Words.Stream(b).Window(topology.Hopping(moment, moment/2)), "counts").To(Per10ms)

	show(play(b, "words@1 a x", "words@7 a x"), Per10ms)
	// Output:
	// a@0..10 1 @1
	// a@0..10 2 @7
	// a@5..15 1 @7
}

func ExampleSliding() {
	b := topology.New("example")
	topology.Count(Words.Stream(b).Window(topology.Sliding(moment)), "counts").To(Per10ms)

	show(play(b, "words@11 a x", "words@15 a x"), Per10ms)
	// Output:
	// a@1..11 1 @11
	// a@12..22 1 @15
	// a@5..15 2 @15
}

// The session that another one grew out of is deleted.
func ExampleSession() {
	b := topology.New("example")
	topology.Count(Words.Stream(b).Window(topology.Session(moment)), "counts").To(PerSession)

	show(play(b, "words@1 a x", "words@7 a x", "words@30 a x"), optional(PerSession))
	// Output:
	// a@1..1 {1 true} @1
	// a@1..1 {0 false} @1
	// a@1..7 {2 true} @7
	// a@30..30 {1 true} @30
}

func ExampleUnlimited() {
	b := topology.New("example")
	topology.Count(Words.Stream(b).Window(topology.Unlimited(5)), "counts").To(Ever)

	d := play(b, "words@1 a x", "words@7 a x", "words@1000 a x")
	for _, r := range topologytest.Topic(d, Ever).Records() {
		fmt.Println(r.Key.Key, "since", r.Key.Start, r.Value)
	}
	fmt.Println(d.Dropped("counts", topology.NoWindow), "came before")
	// Output:
	// a since 5 1
	// a since 5 2
	// 1 came before
}

// With grace, windows take records that are late; those that come later still go elsewhere.
func ExampleWindowedStream_Late() {
	b := topology.New("example")
	windows := Words.Stream(b).Window(topology.Tumbling(moment).Grace(5 * time.Millisecond))
	topology.Count(windows, "counts").To(Per10ms)
	windows.Late().To(Out)

	d := play(b, "words@1 a x", "words@12 a x", "words@2 a late", "words@15 a x", "words@3 a later")
	show(d, Per10ms)
	show(d, Out)
	// Output:
	// a@0..10 1 @1
	// a@10..20 1 @12
	// a@0..10 2 @2
	// a@10..20 2 @15
	// a later @3
}

func ExampleEmitOnClose() {
	b := topology.New("example")
	topology.Count(Words.Stream(b).Window(topology.Tumbling(moment)), "counts", topology.EmitOnClose()).To(Per10ms)

	show(play(b, "words@1 a x", "words@7 a x", "words@12 a x"), Per10ms)
	// Output:
	// a@0..10 2 @7
}

func ExampleMerging() {
	length := func(w string) int { return len(w) }
	b := topology.New("example")
	sessions := Words.Stream(b).Window(topology.Session(moment).Grace(moment))
	topology.Aggregate(sessions, "lengths", fold.SumOf(length), topology.Merging(fold.Sum[int]))

	d := play(b, "words@1 a one", "words@20 a three", "words@11 a joins")
	fmt.Println(topologytest.Table[topology.Windowed[string], int](d, "lengths").Rows())
	// Output:
	// map[a@1..20:13]
}

// Rows of windows that have closed are kept, for those who read the table.
func ExampleRetain() {
	rows := func(opts ...topology.AggregateOption) int {
		b := topology.New("example")
		topology.Count(Words.Stream(b).Window(topology.Tumbling(moment)), "counts", opts...)
		return topologytest.Count(play(b, "words@1 a x", "words@12 a x", "words@25 a x"), "counts")
	}
	fmt.Println(rows(), rows(topology.Retain(time.Minute)))
	// Output:
	// 1 3
}
