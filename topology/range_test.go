package topology_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// lineKey is a customer and the number of an order.
type lineKey = codec.Pair[string, int64]

var (
	lineKeys = codec.PairOf(codec.String, codec.Int64)
	Lines    = topology.NewTopic("lines", lineKeys, codec.String, topology.Partitions(1))
	Asks     = topology.NewTopic("asks", codec.String, codec.Int64, topology.Partitions(1))
	Found    = topology.NewTopic("found", codec.String, codec.String)
)

type rangePorts struct {
	Lines topology.Range[lineKey, string]
	Long  topology.Range[lineKey, int64]
	Out   topology.Out[string]
}

// onAsk tells the customer's orders up to a number, and how many long ones there are in all.
func onAsk(asked string, upTo int64, p *rangePorts) string {
	customer := "ada"
	if upTo < 0 {
		customer, upTo = "bob", -upTo
	}
	var found []string
	for k, v := range p.Lines.Between(lineKey{First: customer}, lineKey{First: customer, Second: upTo}) {
		n := 0
		for range p.Lines.Prefix(k) { // a range in a range
			n++
		}
		found = append(found, v+strings.Repeat("*", n))
	}
	for k, n := range p.Long.From(lineKey{First: "c"}) {
		found = append(found, k.First+strings.Repeat("!", int(n)))
	}
	p.Out.Emit(strings.Join(found, " "))
	return asked + "."
}

func TestRange(t *testing.T) {
	b := topology.New("ranges")
	lines := Lines.Table(b)
	p := topology.NewProcessor(Asks.Stream(b), "ask", onAsk)
	topology.ReadPartition(p, &p.Ports.Lines, lines)
	topology.ReadPartition(p, &p.Ports.Long, topology.MapTable(lines.Filter(long), func(s string) int64 { return int64(len(s)) }))
	topology.Output(p, &p.Ports.Out).To(Found)
	topologytest.EveryWay(t, func(d *driver) {
		lines, asks, found := topologytest.Topic(d, Lines), topologytest.Topic(d, Asks), topologytest.Topic(d, Found)
		line := func(customer string, n int64, v string) { lines.Send(lineKey{First: customer, Second: n}, v) }
		asks.Send("q", 9)
		line("ada", 3, "c")
		line("ada", 1, "a")
		line("ada", 12, "x")
		line("bob", 2, "b")
		line("ad", 2, "y")
		line("cleo", -1, "long")
		line("cleo", 1, "longer")
		asks.Send("q", 9)
		asks.Send("q", -9)
		lines.Delete(lineKey{First: "ada", Second: 1})
		line("ada", 2, "n")
		line("ada", 3, "new")
		line("cleo", 1, "no")
		asks.Send("q", 9)
		asks.Send("q", 20)
		found.Want("", "a*** c*** cleo!!!! cleo!!!!!!", "b* cleo!!!! cleo!!!!!!", "n*** new*** cleo!!!!", "n*** new*** x*** cleo!!!!")
	}, b)
}

// A step with ranges is tested as a function.
// Rows with pairs for keys lie where their first parts do, wherever they come from: so a stream with
// these for keys finds them, in any number of partitions.
func TestPairsByFirst(t *testing.T) {
	type ports struct {
		Written, Made topology.Range[lineKey, string]
		Out           topology.Out[string]
	}
	byFirst := codec.PairByFirst(codec.String, codec.Int64)
	lines := topology.NewTopic("pairs", byFirst, codec.String)
	copied := topology.NewTopic("pairs-copied", byFirst, codec.String)
	orders := topology.NewTopic("pair-orders", codec.String, codec.String)
	asks := topology.NewTopic("pair-asks", codec.String, codec.String)
	b := topology.New("pairs")
	rows := lines.Table(b)
	rows.Filter(long, topology.EveryDeletion()).To(copied)
	made := topology.KeyBy(orders.Stream(b), "by-customer", func(v string) lineKey { return lineKey{First: v[:1], Second: int64(len(v))} },
		topology.KeyCodec(byFirst)).ToTable("made")
	p := topology.NewProcessor(asks.Stream(b), "ask", func(n int64, customer string, p *ports) int64 {
		var found []string
		for _, rows := range []*topology.Range[lineKey, string]{&p.Written, &p.Made} {
			for _, v := range rows.Prefix(lineKey{First: customer}) {
				found = append(found, v)
			}
		}
		p.Out.Emit(strings.Join(found, " "))
		return n + 1
	})
	topology.ReadPartition(p, &p.Ports.Written, rows)
	topology.ReadPartition(p, &p.Ports.Made, made)
	topology.Output(p, &p.Ports.Out).To(Found)
	for _, c := range []topologytest.Config{{Partitions: 1}, {Partitions: 5}, {Partitions: 5, Seed: 3, CrashAfter: 4}} {
		d := c.New(t, b)
		for _, customer := range []string{"a", "b", "c", "d", "e", "f"} {
			for n := range int64(3) {
				topologytest.Topic(d, lines).Send(lineKey{First: customer, Second: n}, customer+"-line")
			}
			topologytest.Topic(d, lines).Delete(lineKey{First: customer, Second: 7})
			topologytest.Topic(d, orders).Send("order", customer+"-order")
			topologytest.Topic(d, asks).Send(customer, customer)
			topologytest.Topic(d, Found).Want(strings.ReplaceAll("x-line x-line x-line x-order", "x", customer))
		}
	}
}

func TestRangeInTest(t *testing.T) {
	p := new(rangePorts)
	p.Lines.SetRows(lineKeys, maps.All(map[lineKey]string{
		{First: "ada", Second: 2}: "b", {First: "ada", Second: 1}: "a", {First: "ada", Second: 5}: "x", {First: "bob", Second: 1}: "y",
	}))
	p.Long.SetRows(lineKeys, maps.All(map[lineKey]int64{}))
	var none topology.Range[string, string]
	none.SetRows(codec.String, maps.All(map[string]string{"": "x", "a": "y"}))
	for k := range none.Between("", "") {
		t.Errorf("%q is not less than itself", k)
	}
	if s := onAsk("", 5, p); s != "." || p.Out.Values()[0] != "a*** b***" {
		t.Errorf("%q, %q", s, p.Out.Values())
	}
}

func TestRangeMistakes(t *testing.T) {
	b := topology.New("ranges")
	rows := Rows.Table(b)
	joined := topology.JoinTables(rows, Plain.Table(b), "joined", plus)
	type ports struct {
		A, B topology.Range[string, string]
		Out  topology.Out[string]
	}
	p := topology.NewProcessor(Words.Stream(b), "p", func(s, v string, p *ports) string { return v })
	topology.ReadPartition(p, &p.Ports.A, joined)
	topology.ReadPartition(p, &p.Ports.A, rows)
	topology.ReadPartition(p, new(topology.Range[string, string]), rows)
	topology.Output(p, &p.Ports.Out).To(Out)
	_, err := b.Build()
	if !errors.Is(err, topology.ErrInvalid) {
		t.Fatal(err)
	}
	for _, want := range []string{
		"port A is connected twice", "no rows of its own", "port B is not connected", "given to ReadPartition is no field",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	// Equal partition counts are needed, equal keys are not.
	b = topology.New("counts")
	lines := Lines.Table(b)
	two := topology.NewTopic("two", codec.String, codec.Int64, topology.Partitions(2))
	q := topology.NewProcessor(two.Stream(b), "ask", onAsk)
	topology.ReadPartition(q, &q.Ports.Lines, lines)
	topology.ReadPartition(q, &q.Ports.Long, topology.MapTable(lines, func(s string) int64 { return int64(len(s)) }))
	topology.Output(q, &q.Ports.Out).To(Found)
	if _, err = b.Build(); err == nil || !strings.Contains(err.Error(), "different numbers of partitions") || strings.Contains(err.Error(), "encode keys") {
		t.Errorf("%v", err)
	}
}

// A bound whose codec fails stops the task.
func TestRangeBadBound(t *testing.T) {
	bad := codec.Func(func(b []byte, s string) ([]byte, error) {
		if s == "bad" {
			return nil, errors.New("a bad bound")
		}
		return append(b, s...), nil
	}, func(b []byte) (string, error) { return string(b), nil })
	rows := topology.NewTopic("odd", bad, codec.String)
	type ports struct {
		Rows topology.Range[string, string]
		Out  topology.Out[string]
	}
	b := topology.New("bad-bound")
	p := topology.NewProcessor(Words.Stream(b), "p", func(s, v string, p *ports) string {
		for k := range p.Rows.Between("a", v) {
			p.Out.Emit(k)
		}
		return ""
	})
	topology.ReadPartition(p, &p.Ports.Rows, rows.Table(b))
	topology.Output(p, &p.Ports.Out).To(Out)
	d := topologytest.New(t, b)
	topologytest.Topic(d, rows).Send("b", "row")
	open(d, Words).Send("k", "z")
	open(d, Words).Send("k", "bad")
	open(d, Out).Want("b")
	if err := d.Stopped("bad-bound"); !errors.Is(err, core.ErrEncode) || !strings.Contains(err.Error(), "a bad bound") {
		t.Errorf("%v", err)
	}
}
