package topology_test

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// OrderKey is a customer and the number of an order: the key of a table whose topic is
// partitioned by the customer.
type OrderKey = codec.Pair[string, int64]

func ExampleReadPartition() {
	type ports struct {
		Orders topology.Range[OrderKey, string]
		Out    topology.Out[string]
	}
	orders := topology.NewTopic("orders", codec.PairByFirst(codec.String, codec.Int64), codec.String)

	b := topology.New("example")
	p := topology.NewProcessor(Words.Stream(b), "history", func(n int64, _ string, p *ports) int64 {
		for k, what := range p.Orders.Prefix(OrderKey{First: "ann"}) {
			p.Out.Emit(fmt.Sprint(k.Second, ":", what))
		}
		return n + 1
	})
	topology.ReadPartition(p, &p.Ports.Orders, orders.Table(b))
	topology.Output(p, &p.Ports.Out).To(Out)

	d := play(b)
	in := topologytest.Topic(d, orders)
	in.Send(OrderKey{First: "ann", Second: 10}, "tea")
	in.Send(OrderKey{First: "bob", Second: 1}, "milk")
	in.Send(OrderKey{First: "ann", Second: 9}, "rice")
	topologytest.Topic(d, Words).Send("ann", "?")
	for _, v := range topologytest.Topic(d, Out).Values() {
		fmt.Println(v)
	}
	// Output:
	// 9:rice
	// 10:tea
}

func ExampleTTL() {
	b := topology.New("example")
	first := func(seen int64, v string, out *topology.Out[string]) int64 {
		if seen == 0 {
			out.Emit(v)
		}
		return seen + 1
	}
	topology.Process(Words.Stream(b), "once", first, topology.TTL(10*time.Millisecond)).To(Out)

	d := play(b, "words@1 id1 a", "words@2 id1 again", "words@3 id2 b", "words@13 id1 c")
	show(d, Out)
	// Output:
	// id1 a @1
	// id2 b @3
	// id1 c @13
}

func ExampleVersionedTable() {
	b := topology.New("example")
	prices := topology.VersionedTable(b, Rows, time.Hour)
	topology.Join(Words.Stream(b), prices, "priced", plus).To(Out)

	d := play(b, "rows@10 tea 1.00", "rows@20 tea 1.20", "words@15 tea early", "rows@12 tea 1.10", "words@15 tea again", "words@25 tea late")
	show(d, Out)
	// Output:
	// tea early+1.00 @15
	// tea again+1.10 @15
	// tea late+1.20 @25
}

// The versions of what a stream says: from "gone" on there is no row.
func ExampleToVersionedTable() {
	b := topology.New("example")
	gone := func(s string) bool { return s == "gone" }
	states := topology.ToVersionedTable(Rows.Stream(b), "states", time.Hour, topology.DeleteWhen(gone))
	topology.LeftJoin(Words.Stream(b), states, "with-state", orNobody).To(Out)

	show(play(b, "rows@10 k open", "rows@20 k gone", "words@15 k early", "words@25 k late"), Out)
	// Output:
	// k early+open @15
	// k late+nobody @25
}

type asOfPorts struct {
	Out   topology.Out[string]
	Price topology.Row[string]
	Here  topology.Moment[string]
}

func ExampleRow_AsOf() {
	b := topology.New("example")
	p := topology.NewProcessor(Words.Stream(b), "compare", func(s struct{}, v string, p *asOfPorts) struct{} {
		now, _ := p.Price.Get()
		then, _ := p.Price.AsOf(p.Here.Time() - 10)
		p.Out.Emit(v + ": " + then + ", now " + now)
		return s
	})
	topology.Read(p, &p.Ports.Price, topology.VersionedTable(b, Rows, time.Hour))
	topology.Output(p, &p.Ports.Out).To(Out)

	show(play(b, "rows@10 tea 1.00", "rows@20 tea 1.20", "words@25 tea ten_ago"), Out)
	// Output:
	// tea ten_ago: 1.00, now 1.20 @25
}
