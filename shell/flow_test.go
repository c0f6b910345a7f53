package shell

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/reugn/go-streams/extension"
	"github.com/reugn/go-streams/flow"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// TestFlow runs a topology with a repartition topic, a join and a count between plain
// go-streams stages, twice on the same store.
func TestFlow(t *testing.T) {
	plan := joined(t)
	db := statestore.NewMemory()
	run := func(in ...any) []string {
		f, err := NewFlow(plan, FlowConfig{Store: db})
		if err != nil {
			t.Fatal(err)
		}
		source := make(chan any, len(in))
		for _, e := range in {
			source <- e
		}
		close(source)
		sink := extension.NewChanSink(make(chan any, 100))
		extension.NewChanSource(source).Via(flow.NewPassThrough()).Via(f).To(sink)
		var out []string
		for e := range sink.Out {
			m := e.(Message)
			out = append(out, fmt.Sprintf("%s %s=%d @%d", m.Topic, m.Key, binary.BigEndian.Uint64(m.Value), m.Time))
		}
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	order := func(customer string, at core.Time) Message {
		return Message{Topic: "orders", Key: []byte("o"), Value: []byte(customer), Time: at}
	}
	got := run(
		order("ada", 1), // no such customer yet
		Message{Topic: "customers", Key: []byte("ada"), Value: []byte("Ada"), Time: 2},
		[]Message{order("ada", 3), order("bob", 4), order("ada", 5)},
	)
	got = append(got, run(order("ada", 6))...)
	if want := []string{"out ada=1 @3", "out ada=2 @5", "out ada=3 @6"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFlowError wants a flow to end with an error and never to block who feeds it.
func TestFlowError(t *testing.T) {
	f, err := NewFlow(joined(t), FlowConfig{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range 10 {
			f.In() <- Message{Topic: "elsewhere"}
		}
		close(f.In())
	}()
	for range f.Out() {
		t.Error("something came out")
	}
	if !errors.Is(f.Err(), ErrConfig) {
		t.Errorf("got %v", f.Err())
	}
}

// A record that fails in a flow is skipped, as its policy says, also where a tick has changed rows just before it.
func TestFlowSkips(t *testing.T) {
	got, err := flowTicks(t, topology.Skip)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{".", ".'", ".''", ".'''", ".'''."}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Where such a record stops a flow, what the tick before it has led to comes out all the same: it is in the store.
func TestFlowStopsBehindTick(t *testing.T) {
	got, err := flowTicks(t, topology.Stop)
	if !errors.Is(err, core.ErrRejected) {
		t.Errorf("got %v", err)
	}
	if want := []string{".", ".'"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// flowTicks takes a message, two that fail, and another one, with a tick before each that changes a row.
func flowTicks(t *testing.T, policy topology.Policy) (got []string, err error) {
	t.Helper()
	type ports struct{ Wall topology.WallTimer }
	words, out := topology.NewTopic("words", codec.String, codec.String), topology.NewTopic("out", codec.String, codec.String)
	b := topology.New("skips")
	in := words.Stream(b, topology.OnError(policy))
	p := topology.NewProcessor(in, "ticks", func(s, _ string, p *ports) string {
		p.Wall.In(time.Second)
		return s + "."
	})
	p.OnTimer(&p.Ports.Wall, func(s string, p *ports) string {
		p.Wall.In(time.Second)
		return s + "'"
	})
	p.State().To(out)
	topology.FlatMap(in, func(w string, refused *topology.Out[string]) {
		if w == "bad" {
			refused.Reject(nil)
		}
	}, topology.Named("fails")).To(out)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1e12)
	f, err := NewFlow(plan, FlowConfig{Now: func() time.Time {
		now = now.Add(time.Minute)
		return now
	}})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for i, w := range []string{"good", "bad", "bad", "good"} {
			f.In() <- Message{Topic: "words", Key: []byte("k"), Value: []byte(w), Time: core.Time(i)}
		}
		close(f.In())
	}()
	for e := range f.Out() {
		got = append(got, string(e.(Message).Value))
	}
	return got, f.Err()
}
