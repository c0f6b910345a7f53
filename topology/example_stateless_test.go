package topology_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func ExampleTopic_Stream() {
	words := topology.NewTopic("words", codec.String, codec.String)
	b := topology.New("example")
	words.Stream(b).To(Out)

	show(play(b, "words@1 k hello", "words@2 k -"), Out) // a null value ends at the source
	// Output:
	// k hello @1
}

func ExampleTopic_Table() {
	rows := topology.NewTopic("rows", codec.String, codec.String, topology.Compacted())
	b := topology.New("example")
	rows.Table(b)

	d := play(b, "rows@1 a one", "rows@2 b two", "rows@3 a three", "rows@4 b -")
	fmt.Println(topologytest.Table[string, string](d, "rows").Rows())
	// Output:
	// map[a:three]
}

func ExampleStream_To() {
	b := topology.New("example")
	words := Words.Stream(b)
	words.To(Out)
	words.To(Out2) // a handle is used as often as you like

	d := play(b, "words@1 k hello")
	show(d, Out)
	show(d, Out2)
	// Output:
	// k hello @1
	// k hello @1
}

func ExampleStream_Filter() {
	b := topology.New("example")
	Words.Stream(b).Filter(func(w string) bool { return len(w) > 3 }).To(Out)

	show(play(b, "words@1 k a", "words@2 k word"), Out)
	// Output:
	// k word @2
}

func ExampleStream_Split() {
	b := topology.New("example")
	long, short := Words.Stream(b).Split(func(w string) bool { return len(w) > 3 })
	one, two := short.Split(func(w string) bool { return len(w) == 1 }) // for more branches, split a half again
	long.Merge(two).To(Out)
	one.To(Out2)

	d := play(b, "words@1 k a", "words@2 k word", "words@3 k of")
	show(d, Out)
	show(d, Out2)
	// Output:
	// k word @2
	// k of @3
	// k a @1
}

func ExampleStream_Merge() {
	b := topology.New("example")
	Words.Stream(b).Merge(Others.Stream(b)).To(Out)

	show(play(b, "words@1 k one", "others@2 k two", "words@3 k three"), Out)
	// Output:
	// k one @1
	// k two @2
	// k three @3
}

func ExampleStream_Peek() {
	b := topology.New("example")
	Words.Stream(b).Peek(func(w string) { fmt.Println("seen:", w) }).To(Out)

	play(b, "words@1 k hello")
	// Output:
	// seen: hello
}

func ExampleStream_WithHeader() {
	b := topology.New("example")
	Words.Stream(b).WithHeader("length", func(w string) string { return fmt.Sprint(len(w)) }).To(Out)

	for _, r := range topologytest.Topic(play(b, "words@1 k hello"), Out).Records() {
		length, _ := r.Headers.Get("length")
		fmt.Println(r.Value, length)
	}
	// Output:
	// hello 5
}

// With another partition count, or just to spread the work.
func ExampleStream_Repartition() {
	b := topology.New("example")
	Words.Stream(b).Repartition("spread", topology.Partitions(12)).To(Out)

	plan, err := b.Build()
	fmt.Println(plan.Describe(topology.AsText), err)
	// Output:
	// topology example
	//
	// sub-topology 0
	//   topic words as stream: string -> string
	//   └─ repartition spread
	//      └─ to topic example-spread-repartition
	//
	// sub-topology 1
	//   topic example-spread-repartition
	//   └─ to topic out
	//  <nil>
}

func ExampleMap() {
	b := topology.New("example")
	topology.Map(Words.Stream(b), strings.ToUpper).To(Out)

	show(play(b, "words@1 k hello"), Out)
	// Output:
	// k HELLO @1
}

func ExampleFlatMap() {
	letters := func(w string, out *topology.Out[string]) {
		if w == "bad" {
			out.Reject(errors.New("no such word")) // stops the task at the record
		}
		for _, r := range w {
			out.Emit(string(r))
		}
	}
	b := topology.New("example")
	topology.FlatMap(Words.Stream(b), letters).To(Out)

	d := play(b, "words@1 k ab", "words@2 k bad")
	show(d, Out)
	fmt.Println(d.Stopped("example"))
	// Output:
	// k a @1
	// k b @1
	// task 0_0, topic words, partition 0, offset 1, node flatMap (topology_test.ExampleFlatMap.func1): core: rejected: no such word
}

// Out.ID makes ids that are the same when a record runs again.
func ExampleOut() {
	b := topology.New("example")
	topology.FlatMap(Words.Stream(b), func(w string, out *topology.Out[string]) {
		out.Emit(w + " is " + out.ID())
	}, topology.Named("ids")).To(Out)

	show(play(b, "words@1 k it"), Out)
	// Output:
	// k it is example/ids/words/0@0/0 @1
}

// What counts by key goes through a topic, so that the records of a key meet.
func ExampleKeyBy() {
	b := topology.New("example")
	byLetter := topology.KeyBy(Words.Stream(b), "by-letter", func(w string) string { return w[:1] })
	topology.Count(byLetter, "counts").To(Counts)

	show(play(b, "words@1 1 ant", "words@2 2 bee", "words@3 3 ape"), Counts)
	// Output:
	// a 1 @1
	// b 1 @2
	// a 2 @3
}

func ExampleRecords() {
	type word = topology.Record[string, string]
	b := topology.New("example")
	young := topology.Records(Words.Stream(b)).Filter(func(r word) bool { return r.Time > 1 && r.Key != "x" })
	topology.Values(young).To(Out)

	show(play(b, "words@1 k one", "words@2 k two", "words@3 x three"), Out)
	// Output:
	// k two @2
}

// Functions see values, so a key that is needed further down is put back by Values.
func ExampleValues() {
	type word = topology.Record[string, string]
	b := topology.New("example")
	byLength := topology.KeyBy(topology.Records(Words.Stream(b)), "by-length", func(r word) int64 { return int64(len(r.Value)) })
	topology.Values(byLength).To(topology.NewTopic("by-length", codec.Int64, codec.String))

	d := play(b, "words@1 k four")
	show(d, topology.NewTopic("by-length", codec.Int64, codec.String))
	// Output:
	// 4 four @1
}

func ExampleNamed() {
	b := topology.New("example")
	Words.Stream(b).Filter(long, topology.Named("long-words")).To(Out)

	plan, err := b.Build()
	fmt.Println(plan.Describe(topology.AsText), err)
	// Output:
	// topology example
	//
	// sub-topology 0
	//   topic words as stream: string -> string
	//   └─ filter long-words: topology_test.long
	//      └─ to topic out
	//  <nil>
}

// What a topic must be is checked at the start.
func ExampleCompacted() {
	rows := topology.NewTopic("rows", codec.String, codec.String, topology.Compacted(), topology.Partitions(6))
	events := topology.NewTopic("events", codec.String, codec.String, topology.Forever())
	fmt.Println(rows.Name(), rows.Partitions(), events.Name(), events.Partitions())
	// Output:
	// rows 6 events 0
}

// Where keys are rekeyed to a type of one's own, the codec says how they are written.
func ExampleValueCodec() {
	type price struct{ cents int64 } // JSON would lose it: Build refuses it without a codec
	prices := codec.Func(
		func(dst []byte, p price) ([]byte, error) { return strconv.AppendInt(dst, p.cents, 10), nil },
		func(src []byte) (p price, err error) {
			p.cents, err = strconv.ParseInt(string(src), 10, 64)
			return p, err
		})
	b := topology.New("example")
	priced := topology.Map(Words.Stream(b), func(w string) price { return price{int64(len(w))} })
	same := topology.KeyBy(priced, "by-price", func(p price) int64 { return p.cents }, topology.ValueCodec(prices))
	topology.Reduce(same, "sums", func(sum, p price) price { return price{sum.cents + p.cents} }) // its rows have the codec, too

	d := play(b, "words@1 1 ant", "words@2 2 ape")
	fmt.Println(topologytest.Table[int64, price](d, "sums").Rows())
	// Output:
	// map[3:{6}]
}

func ExampleKeyCodec() {
	type letter byte
	letters := codec.Func(
		func(dst []byte, l letter) ([]byte, error) { return append(dst, byte(l)), nil },
		func(src []byte) (letter, error) { return letter(src[0]), nil })
	b := topology.New("example")
	byLetter := topology.KeyBy(Words.Stream(b), "by-letter", func(w string) letter { return letter(w[0]) }, topology.KeyCodec(letters))
	topology.Count(byLetter, "counts")

	d := play(b, "words@1 1 ant", "words@2 2 ape")
	fmt.Println(topologytest.Table[letter, int64](d, "counts").Rows())
	// Output:
	// map[97:2]
}
