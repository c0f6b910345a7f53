package topology_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

type secret struct {
	Name   string
	secret int
}

type holder struct{ Any any }

type twoPorts struct {
	A topology.Out[string]
	B topology.Row[string]
}

func stepTwo(n int64, _ string, _ *twoPorts) int64 { return n }

// mistakes are topologies that Build refuses; testdata/mistakes.txt has what it says.
var mistakes = map[string]func() *topology.Builder{
	"empty": func() *topology.Builder { return topology.New("empty") },
	"topology-name": func() *topology.Builder {
		b := topology.New("my app")
		Words.Stream(b).To(Out)
		return b
	},
	"of-type": func() *topology.Builder {
		b := topology.New("t", topology.Stamp(nil))
		topology.OfType[int64](Words.Stream(b)).To(topology.NewTopic("numbers", codec.String, codec.Int64))
		return b
	},
	"doubled-name": func() *topology.Builder {
		b := topology.New("t")
		topology.Count(Words.Stream(b), "count")
		topology.Count(Others.Stream(b), "count")
		Rows.Table(b)
		topology.Map(Words.Stream(b), upper, topology.Named("rows")).To(Out)
		return b
	},
	"no-name": func() *topology.Builder {
		b := topology.New("t")
		topology.Count(Words.Stream(b), "")
		return b
	},
	"names": func() *topology.Builder {
		b := topology.New("t")
		topology.Count(Words.Stream(b), "a/b")
		topology.Count(Words.Stream(b), strings.Repeat("x", 240))
		topology.Count(Words.Stream(b), "..")
		topology.NewTopic("no spaces", codec.String, codec.String).Stream(b).To(topology.NewTopic("", codec.String, codec.String))
		return b
	},
	"nowhere": func() *topology.Builder {
		b := topology.New("t")
		words := Words.Stream(b)
		topology.Map(words, upper)
		words.Split(long)
		topology.Process(words, "process", collect)
		Others.Stream(b)
		Rows.Table(b).Filter(long)
		words.To(Out)
		return b
	},
	"nil-functions": func() *topology.Builder {
		b := topology.New("t")
		words := Words.Stream(b)
		words.Filter(nil).To(Out)
		topology.Map[string, string, string](words, nil, topology.Named("shout")).To(Out)
		topology.KeyBy[string, string](words, "by-nothing", nil).To(Out)
		topology.Aggregate[string, string, int64](words, "sum", nil, topology.DeleteWhen[int64](nil), topology.StateCodec[int64](nil))
		topology.KeyBy(words, "by-first", first, topology.KeyCodec[string](nil)).To(Out)
		topology.KeyBy(words, "by-no-codec", first, topology.ValueCodec[string](nil)).To(Out)
		topology.KeyBy(words, "by-number", first, topology.ValueCodec(codec.Int64)).To(Out)
		return b
	},
	"other-topology": func() *topology.Builder {
		a, b := topology.New("a"), topology.New("b")
		topology.Join(Words.Stream(b), Rows.Table(a), "join", plus).To(Out)
		Words.Stream(b).Merge(Others.Stream(a)).To(Out)
		p := topology.NewProcessor(Words.Stream(a), "processor", stepTwo)
		topology.On(p, Others.Stream(b), stepTwo)
		return b
	},
	"joins-of-tables": func() *topology.Builder {
		a, b := topology.New("a"), topology.New("b")
		topology.JoinTables(Rows.Table(b), Plain.Table(a), "join", plus).To(Out)
		topology.OuterJoinTables[string, string, string, string](Rows.Table(b), Plain.Table(b), "", nil)
		put := func(r, v string) string { return r + v }
		topology.Combine("combine", topology.MayHave(Rows.Table(b), put), topology.Needs(Plain.Table(a), put)).To(Out)
		topology.CountTable(Plain.Table(b), "rows", func(string) struct{ x int } { return struct{ x int }{} })
		return b
	},
	"joins-of-streams": func() *topology.Builder {
		a, b := topology.New("a"), topology.New("b")
		words := Words.Stream(b)
		topology.JoinStreams(words, Others.Stream(a), "foreign", topology.Within(time.Second), plus).To(Out)
		topology.JoinStreams(words, words, "empty", topology.Between(time.Second, 0).Grace(-time.Second), plus).To(Out)
		nulls := topology.NewTopic("nulls", codec.String, topology.Codec[string](nullText{codec.String}))
		topology.LeftJoinStreams(nulls.Stream(b), words, "nulls", topology.Within(time.Second), func(string, topology.Opt[string]) string { return "" })
		return b
	},
	"other-topology-ports": func() *topology.Builder {
		a, b := topology.New("a"), topology.New("b")
		p := topology.NewProcessor(Words.Stream(b), "processor", stepTwo)
		topology.Read(p, &p.Ports.B, Rows.Table(a))
		topology.Output(p, &p.Ports.A).To(Out)
		return b
	},
	"ports": func() *topology.Builder {
		b := topology.New("t")
		topology.NewProcessor(Words.Stream(b), "loose", stepTwo)
		p := topology.NewProcessor(Words.Stream(b), "foreign", stepTwo)
		topology.Output(p, new(topology.Out[string])).To(Out)
		topology.Read(p, new(topology.Row[string]), Rows.Table(b))
		topology.Read(p, &p.Ports.B, Rows.Table(b))
		topology.Read(p, &p.Ports.B, Rows.Table(b))
		topology.Output(p, &p.Ports.A)
		type withField struct {
			Count int
			Cache map[string]int
		}
		topology.NewProcessor(Words.Stream(b), "with-field", func(n int64, _ string, _ *withField) int64 { return n })
		topology.NewProcessor(Words.Stream(b), "no-struct", func(n int64, _ string, _ *int) int64 { return n })
		return b
	},
	"table-and-stream": func() *topology.Builder {
		b := topology.New("t")
		Rows.Table(b)
		Rows.Stream(b).To(Out)
		Words.Stream(b).To(Out)
		Words.Table(b)
		return b
	},
	"global-tables": func() *topology.Builder {
		a, b := topology.New("a"), topology.New("b")
		Rows.GlobalTable(b) // nobody reads it
		Words.Stream(b).To(Out)
		Words.GlobalTable(b)
		Plain.GlobalTable(b)
		Plain.Table(b)
		topology.JoinGlobal(Words.Stream(b), Others.GlobalTable(a), "other", first, plus).To(Out)
		topology.LeftJoinGlobal(Words.Stream(b), Plain.GlobalTable(b), "", nil, plusOr).To(Out)
		p := topology.NewProcessor(Words.Stream(b), "ports", func(n int64, _ string, _ *globalPorts) int64 { return n })
		topology.ReadGlobal(p, new(topology.Rows[string, string]), Plain.GlobalTable(b))
		topology.Output(p, &p.Ports.Out).To(Out)
		return b
	},
	"two-declarations": func() *topology.Builder {
		b := topology.New("t")
		Words.Stream(b).To(Out)
		topology.NewTopic("words", codec.Int64, codec.String).Stream(b).To(topology.NewTopic("o2", codec.Int64, codec.String))
		topology.NewTopic("words", codec.String, codec.JSON[string]()).Stream(b).To(Out)
		topology.NewTopic("words", codec.String, codec.String, topology.Partitions(3)).Stream(b).To(Out)
		return b
	},
	"topic-options": func() *topology.Builder {
		b := topology.New("t")
		topology.NewTopic("a", codec.String, codec.String, topology.Partitions(0)).Stream(b).To(Out)
		topology.NewTopic("b", codec.String, codec.String, topology.Compacted(), topology.Forever()).Stream(b).To(Out)
		topology.KeyBy(Words.Stream(b), "by-first", first, topology.Partitions(-4)).To(Out)
		return b
	},
	"codecs": func() *topology.Builder {
		b := topology.New("t")
		topology.NewTopic("a", codec.String, codec.JSON[secret]()).Stream(b).To(topology.NewTopic[string, secret]("b", codec.String, nil))
		words := Words.Stream(b)
		topology.Aggregate(words, "holders", func(h holder, _ string) holder { return h })
		topology.Aggregate(words, "sum", func(n int64, v string) int64 { return n }, topology.StateCodec(codec.String), topology.DeleteWhen(long))
		asSecret := topology.KeyBy(topology.Map(words, func(string) secret { return secret{secret: 1} }), "by-name", func(s secret) string { return s.Name })
		topology.Count(asSecret, "secrets")
		topology.KeyBy(words, "by-holder", func(string) holder { return holder{} }, topology.KeyCodec(codec.Int64)).To(topology.NewTopic("c", codec.JSON[holder](), codec.String))
		return b
	},
	"keys-differ": func() *topology.Builder {
		b := topology.New("t")
		rows := topology.NewTopic("json-keys", codec.JSON[string](), codec.String).Table(b)
		topology.Join(Words.Stream(b), rows, "join", plus).To(Out)
		topology.Join(topology.KeyBy(Others.Stream(b), "by-first", first), rows, "rekeyed", plus).To(Out)
		return b
	},
	"partitions-differ": func() *topology.Builder {
		b := topology.New("t")
		rows := topology.NewTopic("wide", codec.String, codec.String, topology.Partitions(12)).Table(b)
		words := topology.NewTopic("narrow", codec.String, codec.String, topology.Partitions(4)).Stream(b)
		topology.Join(words, rows, "join", plus).To(Out)
		topology.Join(topology.KeyBy(words, "by-first", first, topology.Partitions(6)), rows, "rekeyed", plus).To(Out)
		return b
	},
	"own-table": func() *topology.Builder {
		b := topology.New("t")
		topology.Join(Words.Stream(b), Rows.Table(b), "join", plus).To(Rows)
		return b
	},
	"timers": func() *topology.Builder {
		type ports struct {
			A, B topology.Timer
			C    topology.WallTimer
		}
		step := func(s, v string, p *ports) string { return s }
		due := func(s string, p *ports) string { return s }
		b := topology.New("t", topology.AdvanceIdle(time.Microsecond))
		p := topology.NewProcessor(Words.Stream(b), "p", step, topology.MaxTimers(0))
		p.OnTimer(&p.Ports.A, due)
		p.OnTimer(&p.Ports.A, due)
		p.OnTimer(new(topology.Timer), due)
		p.OnTimer(&p.Ports.B, nil)
		topology.NewProcessor(Words.Stream(b), "none", stepTwo, topology.MaxTimers(5))
		topology.Count(Words.Stream(b), "p-timers")
		return b
	},
	"direct-circle": func() *topology.Builder {
		type ports struct{ Next topology.Out[string] }
		step := func(n int64, v string, p *ports) int64 { return n }
		b := topology.New("t")
		p := topology.NewProcessor(Words.Stream(b), "circle", step)
		topology.On(p, topology.Output(p, &p.Ports.Next), step)
		return b
	},
}

// TestMistakes shows what Build says of each of the mistakes above.
// nullText takes null for a text, and says so.
type nullText struct{ topology.Codec[string] }

func (nullText) DecodesNull() {}

func TestMistakes(t *testing.T) {
	seen := map[string]bool{}
	datadriven.RunTest(t, "testdata/mistakes.txt", func(t *testing.T, d *datadriven.TestData) string {
		build := mistakes[d.CmdArgs[0].Key]
		if d.Cmd != "build" || build == nil {
			d.Fatalf(t, "no such topology")
		}
		seen[d.CmdArgs[0].Key] = true
		b := build()
		plan, err := b.Build()
		if err == nil {
			t.Fatalf("%s builds:\n%s", d.CmdArgs[0].Key, plan.Describe(topology.AsText))
		}
		if plan != nil || !errors.Is(err, topology.ErrInvalid) {
			t.Errorf("%v is no ErrInvalid, or comes with a plan", err)
		}
		if _, again := b.Build(); again.Error() != err.Error() {
			t.Errorf("Build says something else the second time: %v", again)
		}
		return err.Error() + "\n"
	})
	for name := range mistakes {
		if !seen[name] {
			t.Errorf("testdata/mistakes.txt lacks %s", name)
		}
	}
}

func TestZeroHandles(t *testing.T) {
	b := topology.New("t")
	for name, f := range map[string]func(){
		"filter": func() { topology.Stream[string, string]{}.Filter(long) },
		"map":    func() { topology.Map(topology.Stream[string, string]{}, upper) },
		"to":     func() { topology.Table[string, string]{}.To(Out) },
		"join":   func() { topology.Join(Words.Stream(b), topology.Table[string, string]{}, "j", plus) },
		"count":  func() { topology.Count[string, string](nil, "c") },
		"topic":  func() { Words.Stream(nil) },
		"on":     func() { topology.On(topology.Processor[string, int64, twoPorts]{}, Words.Stream(b), stepTwo) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); !strings.HasPrefix(fmt.Sprint(p), "topology: ") {
					t.Errorf("panics with %v", p)
				}
			}()
			f()
		})
	}
	if _, err := (*topology.Builder)(nil).Build(); !errors.Is(err, topology.ErrInvalid) {
		t.Error(err)
	}
}

// described are topologies of which testdata/describe.txt has pictures.
var described = map[string]func() *topology.Builder{
	"processor": processor,
	"globals":   globals,
	"joins": func() *topology.Builder {
		b := topology.New("joins")
		words, rows := Words.Stream(b), Rows.Table(b)
		topology.LeftJoinStreams(topology.KeyBy(words, "by-first", first), Others.Stream(b), "pairs", topology.Within(time.Minute), plusOr).To(Out)
		topology.CountTable(topology.JoinTables(rows, Plain.Table(b), "both", plus), "count", first).To(Counts)
		return b
	},
	"orders": func() *topology.Builder {
		b := topology.New("shop")
		customers := topology.NewTopic("customers", codec.String, codec.String, topology.Compacted(), topology.Partitions(12)).Table(b)
		orders := topology.NewTopic("orders", codec.String, codec.String, topology.Forever()).Stream(b)
		large, small := topology.KeyBy(orders, "by-customer", first).Split(long)
		topology.Join(large, customers.Filter(long), "with-customer", plus).To(Out)
		topology.Count(small.Merge(large), "orders-per-customer").To(Counts)
		topology.Map(orders, upper, topology.Named("shout")).To(Out2)
		return b
	},
}

func TestDescribe(t *testing.T) {
	formats := map[string]topology.Format{"text": topology.AsText, "dot": topology.AsDot, "mermaid": topology.AsMermaid, "json": topology.AsJSON}
	datadriven.RunTest(t, "testdata/describe.txt", func(t *testing.T, d *datadriven.TestData) string {
		plan, err := described[d.Cmd]().Build()
		if err != nil {
			t.Fatal(err)
		}
		return plan.Describe(formats[d.CmdArgs[0].Key])
	})
}

// A plan does not change when its builder goes on, and tasks of it are independent.
func TestPlanIsImmutable(t *testing.T) {
	b := processor()
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	before := plan.Describe(topology.AsJSON)
	words := Words.Stream(b)
	topology.Count(words, "later")
	topology.Map(words, upper).To(Out2)
	if got := plan.Describe(topology.AsJSON); got != before {
		t.Errorf("the plan has changed:\n%s", got)
	}
	var wg sync.WaitGroup
	for _, s := range plan.Subtopologies() {
		for range 4 {
			wg.Go(func() { s.NewTask(core.TaskConfig{View: func(core.TableID) core.View { return nil }}) })
		}
	}
	wg.Wait()
	if plan, err = b.Build(); err != nil || !strings.Contains(plan.Describe(topology.AsText), "later") {
		t.Errorf("%v", err)
	}
}

func TestPlanForTheShell(t *testing.T) {
	plan, err := described["orders"]().Build()
	if err != nil {
		t.Fatal(err)
	}
	subs := plan.Subtopologies()
	if len(subs) != 2 || plan.Name() != "shop" {
		t.Fatal(plan.Describe(topology.AsText))
	}
	up, down := subs[0], subs[1]
	if s := up.Sources[0]; s.Topic != "orders" || !s.Forever || s.Table != -1 || s.TopicName("app") != "orders" {
		t.Errorf("%+v", s)
	}
	if s := up.Sinks[0]; !s.Repartition || s.TopicName("app") != "app-by-customer-repartition" {
		t.Errorf("%+v", s)
	}
	if s := down.Sources[0]; s.Topic != "customers" || s.Table != 0 || s.Partitions != 12 || !s.Compacted {
		t.Errorf("tables come first: %+v", s)
	}
	if s := down.Sources[1]; !s.Repartition || s.TopicName("app") != up.Sinks[0].TopicName("app") {
		t.Errorf("%+v", s)
	}
	if tb := down.Tables[0]; tb.Name != "customers" || tb.Source != 0 || tb.Origin != 0 || tb.Schema != "string -> string" {
		t.Errorf("%+v", tb)
	}
	if tb := down.Tables[1]; tb.Source != -1 || tb.Origin != -1 || tb.ChangelogTopic("app") != "app-orders-per-customer-changelog" || tb.Schema != "string -> int64" {
		t.Errorf("%+v", tb)
	}
	if g := down.Copartitioned; len(g) != 1 || len(g[0]) != 2 {
		t.Errorf("%v", g)
	}
	if _, _, err := topology.TableCodecs[string, int64](down.Tables[1]); err != nil {
		t.Error(err)
	}
	if _, _, err := topology.TableCodecs[string, string](down.Tables[1]); err == nil {
		t.Error("a table of int64 is read as one of strings")
	}

	// Keys that JSON could have written otherwise: the topic cannot be the changelog.
	b := topology.New("t")
	topology.NewTopic("json", codec.JSON[string](), codec.String, topology.Compacted()).Table(b)
	plan, err = b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if tb := plan.Subtopologies()[0].Tables[0]; tb.Source != -1 || tb.Origin != -1 || plan.Subtopologies()[0].Sources[0].Table != 0 {
		t.Errorf("%+v", tb)
	}
}

// What makes a topic no changelog of its table leaves it the origin of the rows, so that one can be filled from there.
func TestOrigin(t *testing.T) {
	rows := topology.NewTopic("rows", codec.String, codec.String, topology.Compacted())
	for name, opt := range map[string]topology.SourceOption{
		"a policy": topology.OnError(topology.Skip), "a TTL": topology.TTL(time.Hour), "other times": topology.WallTime(),
	} {
		b := topology.New("t")
		rows.Table(b, opt)
		plan, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		if tb := plan.Subtopologies()[0].Tables[0]; tb.Source != -1 || tb.Origin != 0 {
			t.Errorf("%s: %+v", name, tb)
		}
	}
	b := topology.New("t")
	topology.VersionedTable(b, rows, time.Hour)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if tb := plan.Subtopologies()[0].Tables[0]; tb.Source != -1 || tb.Origin != -1 {
		t.Errorf("versions: %+v", tb)
	}
}
