package topology_test

import (
	"errors"
	"fmt"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// An order that a function rejects goes to the dead letters, the others on.
func ExampleOnError() {
	b := topology.New("shop")
	orders := Words.Stream(b, topology.OnError(topology.DeadLetter))
	topology.FlatMap(orders, func(order string, out *topology.Out[string]) {
		if order == "bomb" {
			out.Reject(errors.New("we don't sell these"))
		}
		out.Emit(order)
	}, topology.Named("check")).To(Out)

	topologytest.Run(func(d *topologytest.Driver) {
		in := topologytest.Topic(d, Words)
		in.Send("ann", "book")
		in.Send("bob", "bomb")
		in.Send("ann", "pen")
		fmt.Println(topologytest.Topic(d, Out).Values())
		for _, l := range d.DeadLetters("shop-dead-letter") {
			fmt.Printf("%s of %s: %s at %s\n", l.Value, l.Key, l.Reason, l.Node)
		}
	}, b)
	// Output:
	// [book pen]
	// bomb of bob: rejected at check
}

// What cannot be read goes to a topic of one's own, as it came.
func ExampleDeadLetterTo() {
	b := topology.New("shop")
	Amounts.Stream(b, topology.OnError(topology.DeadLetterTo("unreadable"))).To(Sums)

	topologytest.Run(func(d *topologytest.Driver) {
		in := topologytest.Topic(d, Amounts)
		in.SendRaw([]byte("a"), []byte("1"))
		in.SendRaw([]byte("b"), []byte("one"))
		fmt.Println(topologytest.Topic(d, Sums).Values())
		for _, l := range d.DeadLetters("unreadable") {
			fmt.Printf("%s of %s\n", l.Value, l.Key)
		}
	}, b)
	// Output:
	// [1]
	// one of b
}

// What finds no customer is kept for somebody to look at.
func ExampleOnDrop() {
	b := topology.New("shop")
	topology.Join(Words.Stream(b), Rows.Table(b), "with-customer", plus, topology.OnDrop(topology.DeadLetter)).To(Out)

	topologytest.Run(func(d *topologytest.Driver) {
		topologytest.Topic(d, Words).Send("bob", "cup")
		for _, l := range d.DeadLetters("shop-dead-letter") {
			fmt.Printf("%s of %s: %s\n", l.Value, l.Key, l.Reason)
		}
	}, b)
	// Output:
	// cup of bob: unmatched
}

// Long words go to a topic of their own.
func ExampleTopicFrom() {
	b := topology.New("example")
	Words.Stream(b).To(Out, topology.TopicFrom(func(word string) topology.Topic[string, string] {
		if len(word) > 3 {
			return Out2
		}
		return Out
	}, Out2))

	topologytest.Run(func(d *topologytest.Driver) {
		in := topologytest.Topic(d, Words)
		for _, w := range []string{"a", "limpet", "is", "small"} {
			in.Send("k", w)
		}
		fmt.Println(topologytest.Topic(d, Out).Values(), topologytest.Topic(d, Out2).Values())
	}, b)
	// Output:
	// [a is] [limpet small]
}

// Urgent words have the first partition for themselves.
func ExamplePartitionBy() {
	b := topology.New("example")
	Words.Stream(b).To(Out, topology.PartitionBy(func(word string, n int) int {
		if word[len(word)-1] == '!' || n == 1 {
			return 0
		}
		return 1 + len(word)%(n-1)
	}))

	topologytest.Run(func(d *topologytest.Driver) {
		topologytest.Topic(d, Words).Send("k", "now!")
		fmt.Println(topologytest.Topic(d, Out).Values())
	}, b)
	// Output:
	// [now!]
}

// The time is in the value.
func ExampleTimeFrom() {
	b := topology.New("example")
	at := func(word string) topology.Time { return topology.Time(len(word)) }
	Words.Stream(b, topology.TimeFrom(at)).To(Out)

	topologytest.Run(func(d *topologytest.Driver) {
		topologytest.Topic(d, Words).Send("k", "limpet")
		fmt.Println(topologytest.Topic(d, Out).Records()[0].Time)
	}, b)
	// Output:
	// 6
}

// The time is that of the arrival, whatever the record says.
func ExampleWallTime() {
	b := topology.New("example")
	Words.Stream(b, topology.WallTime()).To(Out)

	topologytest.Run(func(d *topologytest.Driver) {
		now := d.Now()
		topologytest.Topic(d, Words).SendAt(0, "k", "limpet")
		fmt.Println(topologytest.Topic(d, Out).Records()[0].Time == now)
	}, b)
	// Output:
	// true
}
