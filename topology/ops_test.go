package topology_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The topics of these tests: words by a key.
var (
	Words    = topology.NewTopic("words", codec.String, codec.String)
	Others   = topology.NewTopic("others", codec.String, codec.String)
	Rows     = topology.NewTopic("rows", codec.String, codec.String, topology.Compacted())
	Plain    = topology.NewTopic("plain-rows", codec.String, codec.String)
	Out      = topology.NewTopic("out", codec.String, codec.String)
	Out2     = topology.NewTopic("out2", codec.String, codec.String)
	Counts   = topology.NewTopic("counts", codec.String, codec.Int64)
	Nullable = topology.NewTopic("nullable", codec.String, codec.Optional(codec.String))
)

func upper(s string) string                            { return strings.ToUpper(s) }
func long(s string) bool                               { return len(s) > 3 }
func first(s string) string                            { return s[:1] }
func plus(a, b string) string                          { return a + "+" + b }
func orNobody(a string, b topology.Opt[string]) string { return a + "+" + b.Or("nobody") }

type driver = topologytest.Driver

func open(d *driver, t topology.Topic[string, string]) *topologytest.TopicHandle[string, string] {
	return topologytest.Topic(d, t)
}

func TestStateless(t *testing.T) {
	b := topology.New("stateless")
	yes, no := Words.Stream(b).Split(long)
	topology.Map(yes, upper).WithHeader("first", first).To(Out)
	topology.FlatMap(no.Filter(func(s string) bool { return s != "x" }).Peek(func(string) {}), func(s string, out *topology.Out[string]) {
		for _, r := range s {
			out.Emit(string(r))
		}
	}).Merge(yes).To(Out2)
	topologytest.EveryWay(t, func(d *driver) {
		words, out, out2 := open(d, Words), open(d, Out), open(d, Out2)
		words.Send("k", "hello")
		words.Send("k", "ab")
		words.Send("k", "x")
		words.SendRecord(topologytest.RecordOf(topologytest.At("12:00"), "k", "world"))
		rs := out.Records()
		if len(rs) != 2 || rs[0].Value != "HELLO" || rs[1].Value != "WORLD" || rs[1].Time != topologytest.At("12:00") || rs[1].Key != "k" {
			t.Errorf("%v", rs)
		}
		if h, _ := rs[0].Headers.Get("first"); h != "H" {
			t.Errorf("header %q", h)
		}
		out2.Want("hello", "a", "b", "world")
	}, b)
}

// A KeyBy with no state behind it is only a new key; one that leads to state goes through
// a topic, once.
func TestKeyBy(t *testing.T) {
	b := topology.New("rekeyed")
	byFirst := topology.KeyBy(Words.Stream(b), "by-first", first)
	byFirst.To(Out)
	topology.Count(byFirst, "count").To(Counts)
	topology.Reduce(byFirst, "reduce", plus).To(Out2)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(plan.Subtopologies()); n != 2 {
		t.Errorf("%d sub-topologies, want 2", n)
	}
	topologytest.EveryWay(t, func(d *driver) {
		words, counts, sums := open(d, Words), topologytest.Topic(d, Counts), open(d, Out2)
		words.Send("1", "apple")
		words.Send("2", "beer")
		words.Send("3", "axe")
		counts.Want(1, 1, 2)
		sums.Want("apple", "beer", "apple+axe")
		open(d, Out).Want("apple", "beer", "axe")
		topologytest.Table[string, int64](d, "count").Want(map[string]int64{"a": 2, "b": 1})
		topologytest.Table[string, string](d, "reduce").Want(map[string]string{"a": "apple+axe", "b": "beer"})
	}, b)

	b = topology.New("only-a-key")
	topology.KeyBy(Words.Stream(b), "by-first", first).To(Out)
	if plan, err = b.Build(); err != nil || len(plan.Subtopologies()) != 1 {
		t.Errorf("%v, %v", plan.Describe(topology.AsText), err)
	}
}

// A rekeyed branch that is merged with a plain one goes through a topic, the plain one
// does not.
// A key that a branch makes is that branch's: beside it the record still has none.
func TestKeyByBesideNull(t *testing.T) {
	b := topology.New("branches")
	words := Words.Stream(b)
	topology.KeyBy(words, "by-first", first).To(Out)
	words.To(Out2)
	topologytest.EveryWay(t, func(d *driver) {
		open(d, Words).SendRaw(nil, []byte("a"))
		open(d, Out).Want("a")
		raw := topologytest.Topic(d, topology.NewTopic(Out2.Name(), codec.Optional(codec.String), codec.String)).Records()
		if len(raw) != 1 || raw[0].Key.OK {
			t.Errorf("got %v, want one with no key", raw)
		}
	}, b)
}

func TestMergeOfRekeyed(t *testing.T) {
	b := topology.New("merged")
	merged := Others.Stream(b).Merge(topology.KeyBy(Words.Stream(b), "by-first", first))
	topology.Reduce(merged, "all", plus)
	topologytest.EveryWay(t, func(d *driver) {
		words, others := open(d, Words), open(d, Others)
		all := topologytest.Table[string, string](d, "all")
		others.Send("a", "one")
		words.Send("z", "ant")
		others.Send("a", "two")
		all.Want(map[string]string{"a": "one+ant+two"})
	}, b)
}

func TestJoins(t *testing.T) {
	b := topology.New("joins")
	rows := Rows.Table(b)
	topology.Join(Words.Stream(b), rows.Filter(long), "inner", plus).To(Out)
	topology.LeftJoin(Words.Stream(b), topology.MapTable(rows, upper), "left", orNobody).To(Out2)
	topologytest.EveryWay(t, func(d *driver) {
		words, rows, out, out2 := open(d, Words), open(d, Rows), open(d, Out), open(d, Out2)
		words.Send("a", "early")
		rows.Send("a", "anna")
		rows.Send("b", "bob")
		words.Send("a", "o1")
		words.Send("b", "o2")
		rows.Send("a", "al")
		words.Send("a", "o3")
		rows.Delete("b")
		words.Send("b", "o4")
		out.Want("o1+anna")
		out2.Want("early+nobody", "o1+ANNA", "o2+BOB", "o3+AL", "o4+nobody")
		words.SendRaw(nil, []byte("keyless"))
		words.SendRaw([]byte("a"), nil)
		out.WantNone()
		out2.Want("keyless+nobody")
		for why, want := range map[topology.Reason]int{topology.Unmatched: 4, topology.NullKey: 1} {
			if got := d.Dropped("inner", why); got != want {
				t.Errorf("%v: %d dropped, want %d", why, got, want)
			}
		}
		if got := d.Dropped("words", topology.NullValue); got != 1 {
			t.Errorf("%d null values dropped", got)
		}
	}, b)
}

// A filter of a table that is only joined runs when a row is looked up, not at each change.
func TestLookupOnly(t *testing.T) {
	ran := 0
	b := topology.New("lookup")
	seen := topology.MapTable(Rows.Table(b).Filter(func(string) bool { ran++; return true }), upper)
	topology.Join(Words.Stream(b), seen, "join", plus).To(Out)
	d := topologytest.New(t, b)
	open(d, Rows).Send("a", "one")
	open(d, Rows).Send("a", "two")
	if ran != 0 {
		t.Errorf("ran %d times", ran)
	}
	open(d, Words).Send("a", "x")
	open(d, Out).Want("x+TWO")
	if ran != 1 {
		t.Errorf("ran %d times for one lookup", ran)
	}
}

func TestTables(t *testing.T) {
	b := topology.New("tables")
	rows := Rows.Table(b)
	short := rows.Filter(func(s string) bool { return !long(s) })
	short.To(Out)
	topology.Map(topology.Changes(short), func(c topology.Change[string]) string { return c.Old.Or("-") + ">" + c.New.Or("-") }).To(Out2)
	topology.Count(rows.ToStream(), "updates")
	latest := Words.Stream(b).ToTable("latest", topology.DeleteWhen(func(s string) bool { return s == "gone" }))
	topology.Join(Others.Stream(b), latest, "with-latest", plus).To(Plain)
	topologytest.EveryWay(t, func(d *driver) {
		rows, out, out2 := open(d, Rows), open(d, Out), open(d, Out2)
		rows.Send("a", "abc")
		rows.Send("a", "abc")
		rows.Send("a", "abcde")
		rows.Send("a", "abcdef")
		rows.Send("a", "x")
		rows.Delete("a")
		rows.Delete("b")
		out.Want("abc", "abc", "", "x", "")
		out2.Want("->abc", "abc>abc", "abc>-", "->x", "x>-")
		topologytest.Table[string, int64](d, "updates").Want(map[string]int64{"a": 5})
		topologytest.Table[string, string](d, "rows").Want(nil)

		words, others, joined := open(d, Words), open(d, Others), open(d, Plain)
		words.Send("a", "one")
		words.Send("a", "two")
		others.Send("a", "x")
		words.Send("a", "gone")
		others.Send("a", "y")
		joined.Want("x+two")
		topologytest.Table[string, string](d, "latest").Want(nil)
	}, b)
}

// Null values are seen where the codec takes them.
func TestOptional(t *testing.T) {
	b := topology.New("optional")
	in := Nullable.Stream(b)
	topology.Map(in, func(o topology.Opt[string]) string { return o.Or("null") }).To(Out)
	deleted := func(o topology.Opt[string]) bool { return !o.OK }
	topology.Map(in.ToTable("latest", topology.DeleteWhen(deleted)).ToStream(), func(o topology.Opt[string]) string { return o.Value }).To(Out2)
	topologytest.EveryWay(t, func(d *driver) {
		in := topologytest.Topic(d, Nullable)
		in.Send("a", topology.Some("x"))
		in.Send("a", topology.None[string]())
		in.Send("a", topology.Some(""))
		open(d, Out).Want("x", "null", "")
		open(d, Out2).Want("x", "")
		in.Delete("a")
		topologytest.Table[string, topology.Opt[string]](d, "latest").Want(nil)
	}, b)
}

type state struct {
	Seen  int
	Words []string
}

func collect(s state, v string, out *topology.Out[string]) state {
	if v == "end" {
		out.Emit(strings.Join(s.Words, " "))
		return state{}
	}
	return state{s.Seen + 1, append(s.Words[:len(s.Words):len(s.Words)], v)}
}

func TestProcess(t *testing.T) {
	b := topology.New("process")
	collected := topology.Process(Words.Stream(b), "sentences", collect, topology.DeleteWhen(func(s state) bool { return s.Seen == 0 }))
	topology.Count(collected, "sentence-count")
	collected.To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		words, out := open(d, Words), open(d, Out)
		sentences := topologytest.Table[string, state](d, "sentences")
		words.Send("a", "hello")
		words.Send("b", "good")
		words.Send("a", "world")
		sentences.Want(map[string]state{"a": {2, []string{"hello", "world"}}, "b": {1, []string{"good"}}})
		words.Send("a", "end")
		out.Want("hello world")
		sentences.Want(map[string]state{"b": {1, []string{"good"}}})
		topologytest.Table[string, int64](d, "sentence-count").Want(map[string]int64{"a": 1})
	}, b)
}

type ports struct {
	Mails    topology.Out[string]
	Customer topology.Row[string]
	Inner    struct{ alarms topology.Out[int64] }
}

func onOrder(n int64, v string, p *ports) int64 {
	if c, ok := p.Customer.Get(); ok {
		p.Mails.Emit(v + " for " + c)
	} else {
		p.Inner.alarms.Emit(n)
	}
	return n + 1
}

func onCancel(n int64, v string, p *ports) int64 {
	if n == 0 {
		p.Mails.Reject(errors.New("nothing to cancel"))
		return n
	}
	p.Mails.Emit("cancelled " + v)
	return n - 1
}

func processor() *topology.Builder {
	b := topology.New("processor")
	p := topology.NewProcessor(topology.KeyBy(Words.Stream(b), "orders-by-first", first), "orders", onOrder,
		topology.DeleteWhen(func(n int64) bool { return n == 0 }))
	topology.On(p, Others.Stream(b), onCancel)
	topology.Read(p, &p.Ports.Customer, Rows.Table(b).Filter(long))
	topology.Output(p, &p.Ports.Mails).To(Out)
	topology.Output(p, &p.Ports.Inner.alarms).To(Counts)
	topology.Map(topology.Changes(p.State()), func(c topology.Change[int64]) string {
		return fmt.Sprintf("%d>%d", c.Old.Value, c.New.Value)
	}).To(Out2)
	return b
}

func TestProcessor(t *testing.T) {
	topologytest.EveryWay(t, func(d *driver) {
		orders, cancels, rows := open(d, Words), open(d, Others), open(d, Rows)
		orders.Send("1", "apple")
		rows.Send("a", "anna")
		rows.Send("b", "bob")
		orders.Send("2", "axe")
		orders.Send("3", "beer")
		cancels.Send("a", "axe")
		cancels.Send("b", "beer")
		open(d, Out).Want("axe for anna", "cancelled axe", "cancelled beer")
		topologytest.Topic(d, Counts).Want(0, 0)
		open(d, Out2).Want("0>1", "1>2", "0>1", "2>1", "1>0")
		topologytest.Table[string, int64](d, "orders").Want(map[string]int64{"a": 1})

		cancels.Send("a", "apple")
		cancels.Send("z", "zebra")
		cancels.Send("a", "never reached")
		err := d.Stopped("processor")
		var re *core.RecordError
		if !errors.As(err, &re) || !errors.Is(err, core.ErrRejected) || re.Node != "orders" || re.Func != "topology_test.onCancel" {
			t.Errorf("stopped: %v", err)
		}
		open(d, Out).Want("cancelled apple")
	}, processor())
}

// A processor feeds itself through a repartition topic.
func TestCircle(t *testing.T) {
	type ports struct{ Next topology.Out[string] }
	step := func(n int64, v string, p *ports) int64 {
		if len(v) > 1 {
			p.Next.Emit(v[1:])
		}
		return n + 1
	}
	b := topology.New("circle")
	p := topology.NewProcessor(topology.KeyBy(Words.Stream(b), "by-first", first), "letters", step)
	topology.On(p, topology.KeyBy(topology.Output(p, &p.Ports.Next), "next", first), step)
	topologytest.EveryWay(t, func(d *driver) {
		words := open(d, Words)
		words.Send("1", "abca")
		words.Send("1", "cab")
		topologytest.Table[string, int64](d, "letters").Want(map[string]int64{"a": 3, "b": 2, "c": 2})
	}, b)
}

// Behind Records functions see the whole record, through repartition topics too.
func TestRecords(t *testing.T) {
	type rec = topology.Record[string, string]
	b := topology.New("records")
	byHeader := topology.KeyBy(topology.Records(Words.Stream(b)), "by-header", func(r rec) string { h, _ := r.Headers.Get("h"); return h })
	topology.Reduce(byHeader, "newest", func(a, b rec) rec {
		if b.Time >= a.Time {
			return b
		}
		return a
	})
	values := topology.Values(byHeader)
	topology.Join(values, Rows.Table(b), "join", plus).To(Out)
	topology.Map(topology.Records(Others.Stream(b)), func(r rec) string { return fmt.Sprint(r.Key, r.Value, r.Time-topologytest.At("00:00")) }).To(Out2)
	topologytest.EveryWay(t, func(d *driver) {
		send := func(at, h, v string) {
			r := topologytest.RecordOf(topologytest.At(at), "k"+v, v)
			r.Headers = r.Headers.With("h", h)
			open(d, Words).SendRecord(r)
		}
		open(d, Rows).Send("x", "row")
		send("10:00", "x", "one")
		send("11:00", "y", "two")
		send("09:00", "x", "late")
		open(d, Out).Want("one+row", "late+row")
		newest, _ := topologytest.Table[string, rec](d, "newest").Get("x")
		if h, _ := newest.Headers.Get("h"); newest.Key != "kone" || newest.Value != "one" || newest.Time != topologytest.At("10:00") || h != "x" {
			t.Errorf("%v", newest)
		}
		open(d, Others).SendAt(topologytest.At("00:01"), "k", "v")
		open(d, Out2).Want("kv60000")
	}, b)
}

// Changes can be rekeyed: a table grouped by hand.
func TestChangesRekeyed(t *testing.T) {
	b := topology.New("regrouped")
	byFirst := topology.KeyBy(topology.Changes(Rows.Table(b)), "by-first", func(c topology.Change[string]) string {
		return first(c.New.Or(c.Old.Value))
	})
	topology.Aggregate(byFirst, "live", func(n int64, c topology.Change[string]) int64 {
		if c.New.OK {
			n++
		}
		if c.Old.OK {
			n--
		}
		return n
	})
	topologytest.EveryWay(t, func(d *driver) {
		rows := open(d, Rows)
		rows.Send("1", "ant")
		rows.Send("2", "ape")
		rows.Send("1", "ass")
		rows.Delete("2")
		topologytest.Table[string, int64](d, "live").Want(map[string]int64{"a": 1})
	}, b)
}

// Repartition spreads a stream anew, with the same keys and with other bytes for them.
func TestRepartition(t *testing.T) {
	wide := topology.NewTopic("wide", codec.String, codec.String, topology.Partitions(6), topology.Compacted())
	b := topology.New("repartitioned")
	topology.Join(Words.Stream(b).Repartition("spread", topology.Partitions(6)), wide.Table(b), "join", plus).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		rows, words := open(d, wide), open(d, Words)
		for _, k := range []string{"a", "b", "c", "d", "e"} {
			rows.Send(k, "row-"+k)
		}
		for _, k := range []string{"a", "b", "c", "d", "e"} {
			words.Send(k, k)
		}
		open(d, Out).Want("a+row-a", "b+row-b", "c+row-c", "d+row-d", "e+row-e")
	}, b)
}

// Two topologies share a topic.
func TestChainedTopologies(t *testing.T) {
	a := topology.New("writer")
	topology.Map(Words.Stream(a), upper).To(Out)
	b := topology.New("reader")
	topology.Join(Out.Stream(b), Rows.Table(b), "join", plus).To(Out2)
	topologytest.EveryWay(t, func(d *driver) {
		open(d, Rows).Send("k", "row")
		d.Pause("reader")
		open(d, Words).Send("k", "a")
		open(d, Words).Send("k", "b")
		open(d, Out2).WantNone()
		d.Resume("reader")
		open(d, Out2).Want("A+row", "B+row")
		d.Crash()
		open(d, Words).Send("k", "c")
		open(d, Out2).Want("C+row")
		d.Wipe()
		open(d, Out2).Want("A+row", "B+row", "C+row")
	}, b, a)
}
