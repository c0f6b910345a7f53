package topology_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// before is what stands before the colon: the key that a value refers to.
func before(v string) string { k, _, _ := strings.Cut(v, ":"); return k }

type globalPorts struct {
	Out  topology.Out[string]
	Rows topology.Rows[string, string]
}

func globals() *topology.Builder {
	b := topology.New("globals")
	g := Rows.GlobalTable(b)
	words := Words.Stream(b)
	topology.JoinGlobal(words, g, "inner", before, plus).To(Out)
	topology.LeftJoinGlobal(words, Rows.GlobalTable(b), "left", before, plusOr).To(Out2)
	p := topology.NewProcessor(words, "ports", func(n int64, v string, p *globalPorts) int64 {
		own, _ := p.Rows.Get(before(v))
		a, ok := p.Rows.Get("a")
		p.Out.Emit(fmt.Sprint(own, "/", a, ok))
		return n + 1
	})
	topology.ReadGlobal(p, &p.Ports.Rows, g)
	topology.Output(p, &p.Ports.Out).To(Others)
	return b
}

func TestGlobalTable(t *testing.T) {
	topologytest.EveryWay(t, func(d *driver) {
		rows, words, inner, left, ported := open(d, Rows), open(d, Words), open(d, Out), open(d, Out2), open(d, Others)
		words.Send("s", "a:1")
		inner.WantNone()
		left.Want("a:1+-")
		ported.Want("/false")
		if n := d.Dropped("inner", topology.Unmatched); n != 1 {
			t.Errorf("%d records were counted as unmatched", n)
		}
		rows.Send("a", "x") // its partition is none of the stream's
		rows.Send("b", "y")
		inner.WantNone() // changes of the table make no results
		words.Send("s", "a:2")
		words.Send("t", "b:3")
		inner.Want("a:2+x", "b:3+y")
		ported.Want("x/xtrue", "y/xtrue")
		rows.SendAt(d.Now()-1000, "a", "z") // the latest by offset counts
		rows.Delete("b")
		words.SendRaw(nil, []byte("a:4")) // the record's own key is not asked for
		words.Send("t", "b:5")
		words.Send("t", "a:6")
		inner.Want("a:4+z", "a:6+z")
		left.Want("a:2+x", "b:3+y", "a:4+z", "b:5+-", "a:6+z")
		d.Crash()
		words.Send("s", "a:7")
		inner.Want("a:7+z")
		topologytest.Table[string, string](d, "rows").Want(map[string]string{"a": "z"})
	}, globals())
}

// A global table that another topology writes, and one that the topology itself writes.
func TestGlobalTableOfOutputs(t *testing.T) {
	producer := topology.New("producer")
	topology.Map(Words.Stream(producer), upper).To(Rows)
	own := topology.New("own")
	Others.Stream(own).To(Plain)
	topology.JoinGlobal(Others.Stream(own), Plain.GlobalTable(own), "own", func(v string) string { return "k" }, plus).To(Out2)
	consumer := topology.New("consumer")
	topology.LeftJoinGlobal(Words.Stream(consumer), Rows.GlobalTable(consumer), "join", func(v string) string { return "k" }, plusOr).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		words, others := open(d, Words), open(d, Others)
		words.Send("k", "a")
		words.Send("k", "b")
		open(d, Out).Want("a+A", "b+B") // the producer comes first
		others.Send("k", "c")
		others.Send("k", "d")
		open(d, Out2).Want("d+c")
	}, consumer, own, producer)
}

// Keys that JSON could have written otherwise are found, however they were written.
func TestGlobalTableKeys(t *testing.T) {
	type id struct{ N int }
	rows := topology.NewTopic("json-rows", codec.JSON[id](), codec.String)
	b := topology.New("keys")
	topology.JoinGlobal(Words.Stream(b), rows.GlobalTable(b), "join", func(v string) id { return id{len(v)} }, plus).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		in, words, out := topologytest.Topic(d, rows), open(d, Words), open(d, Out)
		in.SendRaw([]byte(`{ "N": 1 }`), []byte("one"))
		in.Send(id{2}, "two")
		words.Send("k", "a")
		words.Send("k", "bb")
		in.SendRaw([]byte(`{"N":2 }`), nil)
		in.SendRaw(nil, []byte("no key"))
		words.Send("k", "cc")
		out.Want("a+one", "bb+two")
		in.SendRaw([]byte(`{"N":`), []byte("?"))
		words.Send("k", "d")
		out.WantNone()
		if err := d.Stopped("keys"); !errors.Is(err, core.ErrDecode) {
			t.Errorf("got %v", err)
		}
	}, b)
}

// Against a map: each lookup finds what was sent last before it.
func TestGlobalTableModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		cfg := topologytest.Config{
			Partitions: rapid.IntRange(1, 3).Draw(r, "partitions"), Batch: rapid.IntRange(1, 4).Draw(r, "batch"),
			CommitEvery: rapid.IntRange(1, 4).Draw(r, "commit"), CrashAfter: rapid.SampledFrom([]int{0, 2, 5}).Draw(r, "crash"),
			Seed: rapid.SampledFrom([]uint64{0, 1, 2}).Draw(r, "seed"),
		}
		d := cfg.New(t, globals())
		rows, words := open(d, Rows), open(d, Words)
		model := map[string]string{}
		var want []string
		for i := range rapid.IntRange(1, 40).Draw(r, "n") {
			k := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(r, "key")
			switch rapid.IntRange(0, 4).Draw(r, "what") {
			case 0:
				delete(model, k)
				rows.Delete(k)
			case 1:
				model[k] = fmt.Sprint("v", i)
				rows.Send(k, model[k])
			default:
				v := fmt.Sprint(k, ":", i)
				row, ok := model[k]
				if !ok {
					row = "-"
				}
				want = append(want, v+"+"+row)
				words.Send("same", v)
			}
		}
		open(d, Out2).Want(want...)
		topologytest.Table[string, string](d, "rows").Want(model)
		if t.Failed() {
			r.FailNow()
		}
	})
}

func TestGlobalPlan(t *testing.T) {
	b := globals()
	topology.JoinGlobal(topology.KeyBy(Nullable.Stream(b), "by", func(v topology.Opt[string]) string { return v.Value }).Repartition("again"),
		Plain.GlobalTable(b), "behind", func(topology.Opt[string]) string { return "" }, func(topology.Opt[string], string) string { return "" }).To(Counts2)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if gs := plan.Globals(); len(gs) != 2 || gs[0].Topic != "rows" || !gs[0].Compacted || gs[1].Topic != "plain-rows" || gs[0].Schema != "string -> string" {
		t.Errorf("%+v", gs)
	}
	var of []string
	for _, s := range plan.Subtopologies() {
		if len(s.Copartitioned) > 0 {
			t.Errorf("sub-topology %d: a global table brings nothing together: %v", s.ID, s.Copartitioned)
		}
		for _, src := range s.Sources {
			if src.Topic == "rows" || src.Topic == "plain-rows" {
				t.Errorf("sub-topology %d reads %s as a source", s.ID, src.Topic)
			}
		}
		for _, g := range s.Globals {
			of = append(of, fmt.Sprint(s.ID, g.Topic, g.Index))
		}
	}
	if got := strings.Join(of, " "); len(plan.Subtopologies()) != 3 || got != "0rows0 2plain-rows1" {
		t.Errorf("%d sub-topologies, %s\n%s", len(plan.Subtopologies()), got, plan.Describe(topology.AsText))
	}
}

var Counts2 = topology.NewTopic("counts2", codec.String, codec.String)

// A step with Rows is tested without any topology.
func TestRowsOf(t *testing.T) {
	p := globalPorts{Rows: topology.RowsOf(map[string]string{"a": "x"})}
	if v, ok := p.Rows.Get("a"); !ok || v != "x" {
		t.Errorf("got %q, %v", v, ok)
	}
	if _, ok := p.Rows.Get("b"); ok {
		t.Error("a row that is not there")
	}
	if _, ok := new(topology.Rows[string, int]).Get("a"); ok {
		t.Error("a row of nothing")
	}
}
