package shell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reugn/go-streams/extension"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// TestGlobalResume: what a process has of a global table is rolled forward if it can be, and
// else dropped: rows that were deleted meanwhile would come back to life.
func TestGlobalResume(t *testing.T) {
	const now = 1_800_000_000_000
	hour := core.Time(time.Hour / time.Millisecond)
	for _, c := range []struct {
		name   string
		has    []core.Offset // nil: nothing
		age    core.Time     // -1: it is of another topic
		bounds [2]Bounds
		want   [2]core.Offset
		drops  bool
	}{
		{"nothing yet", nil, 0, [2]Bounds{{3, 9}, {0, 4}}, [2]core.Offset{3, 0}, false},
		{"forward", []core.Offset{5, 4}, 0, [2]Bounds{{0, 9}, {0, 4}}, [2]core.Offset{5, 4}, false},
		{"forward, from half an hour ago", []core.Offset{5, 4}, hour / 2, [2]Bounds{{0, 9}, {0, 4}}, [2]core.Offset{5, 4}, false},
		{"old, but nothing has come", []core.Offset{9, 4}, 2 * hour, [2]Bounds{{0, 9}, {0, 4}}, [2]core.Offset{9, 4}, false},
		{"tombstones may be gone", []core.Offset{9, 3}, 2 * hour, [2]Bounds{{0, 9}, {0, 4}}, [2]core.Offset{0, 0}, true},
		{"records are gone", []core.Offset{5, 4}, 0, [2]Bounds{{6, 9}, {0, 4}}, [2]core.Offset{6, 0}, true},
		{"made anew", []core.Offset{5, 4}, 0, [2]Bounds{{0, 2}, {0, 4}}, [2]core.Offset{0, 0}, true},
		{"has grown", []core.Offset{5}, 0, [2]Bounds{{0, 9}, {0, 4}}, [2]core.Offset{5, 0}, false},
		{"another one of the same length", []core.Offset{5, 4}, -1, [2]Bounds{{0, 5}, {0, 4}}, [2]core.Offset{0, 0}, true},
		{"has shrunk", []core.Offset{5, 4, 3}, 0, [2]Bounds{{0, 9}, {0, 4}}, [2]core.Offset{0, 0}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			store, err := statestore.NewMemory().OpenGlobal(statestore.TableSpec{Name: "g", Schema: "s"})
			if err != nil {
				t.Fatal(err)
			}
			if c.has != nil {
				if err := store.Apply([]core.Write{{Key: []byte("k"), Value: []byte("v")}}, statestore.Checkpoint{Input: c.has, Wall: now - max(0, c.age), Topics: marks([]string{"g"}, map[string]TopicID{"g": {byte(1 - min(0, c.age))}})}); err != nil {
					t.Fatal(err)
				}
			}
			tb := &globalTable{layout: &globalLayout{topicLayout: topicLayout{"g", 2}, deleteRetention: time.Hour}, store: store}
			g := &globals{log: slog.New(slog.DiscardHandler), now: func() time.Time { return time.UnixMilli(now) }}
			if err := g.resume(tb, map[Partition]Bounds{{"g", 0}: c.bounds[0], {"g", 1}: c.bounds[1]}, map[string]TopicID{"g": {1}}, time.UnixMilli(now)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(tb.at, c.want[:]) {
				t.Errorf("begins at %v, want %v", tb.at, c.want)
			}
			// Tombstones that were cleaned away since the rows were written are missed, too: the time of the restore comes on top.
			since := time.UnixMilli(now)
			if c.want == [2]core.Offset{5, 4} {
				since = time.UnixMilli(int64(now - c.age))
			}
			if !tb.since.Equal(since) {
				t.Errorf("tombstones may be missed since %v, want %v", tb.since, since)
			}
			if _, has := store.Checkpoint(); has != (c.has != nil && !c.drops) {
				t.Errorf("has rows: %v", has)
			}
		})
	}
}

// cutOff is a broker whose topic loses its first segment between the look at its bounds and the first fetch.
type cutOff struct {
	Broker
	tries int
}

func (b *cutOff) TopicIDs(context.Context, ...string) (map[string]TopicID, error) {
	return map[string]TopicID{"g": {1}}, nil
}

func (b *cutOff) Bounds(context.Context, []Partition) (map[Partition]Bounds, error) {
	b.tries++
	return map[Partition]Bounds{{"g", 0}: {Start: core.Offset(2 * (b.tries - 1)), End: 3}, {"g", 1}: {End: 1}}, nil
}

func (b *cutOff) NewFetcher(FetchConfig) Fetcher { return &cutOffFetcher{b: b} }

type cutOffFetcher struct {
	Fetcher
	b    *cutOff
	from core.Offset
}

func (f *cutOffFetcher) Add(p Partition, from core.Offset, _, _ int64) {
	if p.ID == 0 {
		f.from = from
	}
}
func (f *cutOffFetcher) Release(Partition, int64, int) {}
func (f *cutOffFetcher) Close()                        {}

func (f *cutOffFetcher) Poll(context.Context) ([]Fetched, error) {
	g := func(id int32, next core.Offset, key string, err error) Fetched {
		r := core.RawRecord{Key: []byte(key), Value: []byte("v"), Offset: next - 1}
		return Fetched{Partition: Partition{"g", id}, Batch: core.Batch{Records: []core.RawRecord{r}, Next: next}, Err: err}
	}
	if f.from < 2 {
		return []Fetched{g(1, 1, "gone by now", nil), g(0, 0, "", &OffsetError{Partition{"g", 0}, f.from, Bounds{2, 3}})}, nil
	}
	return []Fetched{g(1, 1, "k1", nil), g(0, 3, "k0", nil)}, nil
}

// TestGlobalCutOff: a topic that is cleaned while a process starts is looked at again, and what was read before that is
// not taken.
func TestGlobalCutOff(t *testing.T) {
	broker := &cutOff{}
	cfg := Config{Broker: broker, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.UnixMilli(1) }}
	l := &layout{globals: []*globalLayout{{topicLayout{"g", 2}, &topology.GlobalSpec{Topic: "g", Schema: "s"}, time.Hour}}}
	g, err := openGlobals(t.Context(), &cfg, l, statestore.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	var keys []string
	if err := g.tables[0].latest.Scan(nil, nil, func(key, _ []byte, _ core.Time) bool { keys = append(keys, string(key)); return true }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"k0", "k1"}; broker.tries != 2 || !slices.Equal(keys, want) {
		t.Errorf("looked %d times, has %v; want 2 and %v", broker.tries, keys, want)
	}
}

// TestGlobalOffer: a worker that comes late gets the newest version and all that has changed;
// a version that nobody has any more is released.
func TestGlobalOffer(t *testing.T) {
	store, err := statestore.NewMemory().OpenGlobal(statestore.TableSpec{Name: "g", Schema: "s"})
	if err != nil {
		t.Fatal(err)
	}
	tb := &globalTable{layout: &globalLayout{}, store: store, at: []core.Offset{0}}
	g := &globals{log: slog.Default(), tables: []*globalTable{tb}, readers: map[*globalReader]bool{}}
	put := func(keys ...string) {
		for _, k := range keys {
			tb.writes = append(tb.writes, core.Write{Key: []byte(k), Value: []byte("v")})
			tb.changed = append(tb.changed, []byte(k))
			tb.at[0]++
		}
		if err := store.Apply(tb.writes, statestore.Checkpoint{Input: tb.at}); err != nil {
			t.Fatal(err)
		}
		if err := g.publish(tb); err != nil {
			t.Fatal(err)
		}
	}
	taken := func(r *globalReader) (got string) {
		r.take(func(_ int, m core.GlobalMove) {
			var keys []string
			for _, k := range m.Changed {
				keys = append(keys, string(k))
			}
			got += fmt.Sprint(m.At, strings.Join(keys, ","), m.All)
		})
		return got
	}
	put("a")
	quick, slow := g.join(), g.join()
	if got := taken(quick); got != "" {
		t.Errorf("nothing has changed, and got %q", got)
	}
	put("b")
	if got := taken(quick); got != "[2]bfalse" {
		t.Errorf("got %q", got)
	}
	put("c", "d")
	if got := taken(quick) + " " + taken(slow); got != "[4]c,dfalse [4]b,c,dfalse" {
		t.Errorf("got %q", got)
	}
	many := make([]string, changedMost+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	put(many...)
	put("e")
	if got := taken(slow); got != fmt.Sprintf("[%d]true", changedMost+6) {
		t.Errorf("got %q", got)
	}
	if _, _, ok, err := slow.view(0).Get([]byte("e"), nil); !ok || err != nil {
		t.Errorf("the newest row is not there: %v", err)
	}
	if _, _, ok, err := quick.view(0).Get([]byte("e"), nil); ok || err != nil {
		t.Errorf("a row of a version that was not taken: %v", err)
	}
	quick.leave() // with a version that it never took
	slow.leave()
	g.close() // panics where a version is still held
	if err := store.Close(); !errors.Is(err, statestore.ErrClosed) {
		t.Errorf("the store is open: %v", err)
	}
}

// TestFlowGlobal: a message of a global table's topic changes what later ones see, and the
// rows stay in the store.
func TestFlowGlobal(t *testing.T) {
	b := topology.New("flow")
	orders := topology.NewTopic("orders", codec.String, codec.String)
	rates := topology.NewTopic("rates", codec.JSON[string](), codec.String)
	topology.LeftJoinGlobal(orders.Stream(b), rates.GlobalTable(b), "rate", func(o string) string { return o },
		func(o string, r topology.Opt[string]) string { return o + "=" + r.Or("-") }).To(topology.NewTopic("out", codec.String, codec.String))
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	db := statestore.NewMemory()
	run := func(in ...Message) (got []string) {
		f, err := NewFlow(plan, FlowConfig{Store: db})
		if err != nil {
			t.Fatal(err)
		}
		source := make(chan any, 1)
		source <- in
		close(source)
		sink := extension.NewChanSink(make(chan any, 100))
		extension.NewChanSource(source).Via(f).To(sink)
		for e := range sink.Out {
			got = append(got, string(e.(Message).Value))
		}
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	order := Message{Topic: "orders", Key: []byte("k"), Value: []byte("a")}
	rate := func(v []byte) Message { return Message{Topic: "rates", Key: []byte(` "a"`), Value: v} }
	got := run(order, rate([]byte("1")), order, Message{Topic: "rates"}, rate([]byte("2")), order)
	got = append(got, run(order, rate(nil), order)...)
	if want := []string{"a=-", "a=1", "a=2", "a=2", "a=-"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A restore of a global table that takes longer than its topic keeps tombstones begins anew; one that was
// interrupted is as of when it began.
func TestSlowGlobalRestore(t *testing.T) {
	for _, c := range []struct {
		takes time.Duration
		reads int
	}{{time.Hour, 10}, {25 * time.Hour, 20}} {
		lb := &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}}
		for i := range 10 {
			lb.logs[Partition{"g", 0}] = append(lb.logs[Partition{"g", 0}], core.RawRecord{Key: fmt.Append(nil, i%4), Value: []byte{1}, Offset: core.Offset(i)})
		}
		began := time.UnixMilli(1_800_000_000_000)
		now, passed := began, false
		cfg := Config{Broker: slowBroker{lb, func() {
			if !passed {
				now, passed = now.Add(c.takes), true
			}
		}}, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
		l := &layout{globals: []*globalLayout{{topicLayout{"g", 1}, &topology.GlobalSpec{Topic: "g"}, 24 * time.Hour}}}
		g, err := openGlobals(t.Context(), &cfg, l, notLate(t, &now))
		if err != nil {
			t.Fatal(err)
		}
		if lb.reads != c.reads {
			t.Errorf("%v: %d records were read, want %d", c.takes, lb.reads, c.reads)
		}
		want := began // of the look that the rows are of
		if c.reads > 10 {
			want = began.Add(c.takes)
		}
		if cp, ok := g.tables[0].store.Checkpoint(); !ok || int64(cp.Wall) != want.UnixMilli() {
			t.Errorf("%v: the rows are as of %v, want %v", c.takes, time.UnixMilli(int64(cp.Wall)), want)
		}
		g.close()
	}
}
