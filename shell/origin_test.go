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

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// A table whose changelog is new is restored from the topic that it is read from, up to where it was read;
// or the task does not run, and says why. It is never empty, and never of two logs.
func TestOriginOfTable(t *testing.T) {
	const log, rows, asked = "app-rows-changelog", "rows", "asked"
	type kind func(b *topology.Builder) topology.Table[string, string]
	plain := func(opts ...topology.SourceOption) kind {
		return func(b *topology.Builder) topology.Table[string, string] {
			return topology.NewTopic(rows, codec.String, codec.String).Table(b, opts...)
		}
	}
	skip, keep := plain(topology.OnError(topology.Skip)), plain()
	versioned := func(b *topology.Builder) topology.Table[string, string] {
		return topology.VersionedTable(b, topology.NewTopic(rows, codec.String, codec.String), time.Hour)
	}
	spaced := func(b *topology.Builder) topology.Table[string, string] { // JSON may be written otherwise
		return topology.NewTopic(rows, codec.JSON[string](), codec.String).Table(b)
	}
	before := func(topics ...string) *meta { // what a version has committed that read so
		return &meta{times: []core.Time{77, -1}, partitions: 1, topics: marks(topics, nil)}
	}
	const next = 4 // the table is at
	for _, c := range []struct {
		name      string
		of        kind
		policy    string
		committed *meta // nil: none, or another tool's
		second    bool  // the metadata is that of the second source
		had       bool  // the changelog is there at the start
		log       int   // its records
		disk      []string
		at        core.Offset // of the table, on disk
		want      string      // the row of k; "": none
		fill      bool
		dropped   bool
		err       error
		says      string
	}{
		{name: "a policy is new", of: skip, committed: before(rows, asked), want: "row 3", fill: true},
		{name: "a TTL is new", of: plain(topology.TTL(time.Hour)), committed: before(rows, asked), want: "row 3", fill: true},
		{name: "other times are new", of: plain(topology.WallTime()), committed: before(rows, asked), want: "row 3", fill: true},
		{name: "only aborted records are in the changelog", of: skip, committed: before(rows, asked), log: -3, want: "row 3", fill: true},
		{name: "the metadata was another sub-topology's", of: skip, committed: before(rows, asked), second: true, want: "row 3", fill: true},
		{name: "local state is of the topic", of: skip, committed: before(rows, asked), disk: []string{rows, asked}, at: 3, want: "row 3", fill: true, dropped: true},
		{name: "local state is of the changelog, what is committed is not", of: skip, committed: before(rows, asked), disk: []string{rows, asked, log}, at: 3, want: "row 3", fill: true, dropped: true},
		{name: "nobody says, and the changelog is empty", of: skip, want: "row 3", fill: true},
		{name: "nobody says, and the changelog has rows", of: skip, log: 2, want: "logged 1"},
		{name: "a changelog has no rows", of: skip, committed: before(rows, asked, log), want: ""},
		{name: "a changelog has rows", of: skip, committed: before(rows, asked, log), log: 2, want: "logged 1"},
		{name: "local state is of the topic, and others have gone on", of: skip, committed: before(rows, asked, log), log: 2, disk: []string{rows, asked}, at: 2, want: "logged 1", dropped: true},
		{name: "a changelog has rows and local state", of: skip, committed: before(rows, asked, log), log: 2, disk: []string{rows, asked, log}, at: 1, want: "logged 1"},
		{name: "an earlier version's local state", of: skip, committed: before(rows, asked, log), log: 2, disk: []string{}, at: 1, want: "logged 1"},
		{name: "left behind by an earlier version", of: skip, committed: before(rows, asked), log: 2, err: ErrMismatch, says: "delete the topic"},
		{name: "a policy is gone", of: keep, committed: before(rows, asked, log), had: true, log: 2, want: "logged 1"},
		{name: "its own topic", of: keep, committed: before(rows, asked), want: "row 3"},
		{name: "its own topic, and local state is of a changelog", of: keep, disk: []string{rows, asked, log}, at: 3, want: "row 3", dropped: true},
		{name: "its own topic, and local state is of another topic", of: keep, committed: before(rows, asked), disk: []string{"former", asked}, at: 3, want: "row 3", dropped: true},
		{name: "another process has made a changelog", of: keep, committed: before(rows, asked, log), err: ErrTopic, says: "start the process again"},
		{name: "the topic is not compacted any more", of: keep, policy: "delete", committed: before(rows, asked), err: ErrTopic, says: "not compacted"},
		{name: "the topic is not compacted, and nobody says", of: keep, policy: "delete", want: ""},
		{name: "versions", of: versioned, committed: before(rows, asked), err: ErrTopic, says: "another form"},
		{name: "keys in another form", of: spaced, committed: before(rows, asked), err: ErrTopic, says: "another form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := topology.New("app")
			topology.Join(topology.NewTopic(asked, codec.String, codec.String).Stream(b), c.of(b).Filter(func(string) bool { return true }), "both", func(q, a string) string { return q + a }).
				To(topology.NewTopic("out", codec.String, codec.String))
			if c.name == "keys in another form" {
				b = topology.New("app")
				topology.Join(topology.NewTopic(asked, codec.JSON[string](), codec.String).Stream(b), c.of(b), "both", func(q, a string) string { return q + a }).
					To(topology.NewTopic("out", codec.JSON[string](), codec.String))
			}
			plan, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			if c.policy == "" {
				c.policy = "compact"
			}
			topics := cluster(topic(rows, 1, "cleanup.policy="+c.policy), topic(asked, 1), topic("out", 1))
			if c.had {
				topics.topics[log] = topic(log, 1, "cleanup.policy=compact")
			}
			l, err := newLayout(t.Context(), topics, plan, "app")
			if err != nil {
				t.Fatal(err)
			}
			lb := &logBroker{start: map[Partition]core.Offset{{log, 0}: core.Offset(max(0, -c.log))}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
			for i := range next + 2 {
				lb.logs[Partition{rows, 0}] = append(lb.logs[Partition{rows, 0}], core.RawRecord{Key: []byte("k"), Value: fmt.Append(nil, "row ", i), Offset: core.Offset(i)})
			}
			for i := range c.log {
				lb.logs[Partition{log, 0}] = append(lb.logs[Partition{log, 0}], core.RawRecord{Key: []byte("k"), Value: fmt.Append(nil, "logged ", i), Offset: core.Offset(i)})
			}
			lb.offsets[Partition{rows, 0}] = GroupOffset{Partition: Partition{rows, 0}, Next: next}
			lb.offsets[Partition{asked, 0}] = GroupOffset{Partition: Partition{asked, 0}}
			if c.committed != nil {
				p := Partition{rows, 0}
				if c.second {
					p.Topic = asked
				}
				o := lb.offsets[p]
				o.Metadata = c.committed.encode()
				lb.offsets[p] = o
			}
			now := time.UnixMilli(1_800_000_000_000)
			var told strings.Builder
			cfg := Config{Broker: lb, Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(&told, nil))}.withDefaults("app")
			op := newOpener(&cfg, l, statestore.NewMemory())
			o := &opening{sub: l.subs[0]}
			if c.disk != nil {
				st, err := op.openStore(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				cp := statestore.Checkpoint{Changelog: []core.Offset{c.at}, Input: []core.Offset{next, 0}, Wall: core.Time(now.UnixMilli())}
				if len(c.disk) > 0 {
					cp.Topics = marks(c.disk, nil)
				}
				if err := errors.Join(st.Apply([]core.Write{{Key: []byte("only on disk"), Value: []byte("v")}}, cp), st.Close()); err != nil {
					t.Fatal(err)
				}
			}
			op.run(t.Context(), o)
			if c.err != nil {
				if !errors.Is(o.err, c.err) || !strings.Contains(o.err.Error(), c.says) || !strings.Contains(o.err.Error(), log) {
					t.Errorf("got %v, want %v that says %q", o.err, c.err, c.says)
				}
				return
			}
			if o.err != nil {
				t.Fatal(o.err)
			}
			defer o.discard()
			v, _, _, err := o.store.View(0).Get([]byte("k"), nil)
			if err != nil || string(v) != c.want {
				t.Errorf("the row is %q, %v; want %q", v, err, c.want)
			}
			if got := len(o.fill) > 0; got != c.fill {
				t.Errorf("the changelog is to be filled: %v", got)
			}
			_, _, ok, _ := o.store.View(0).Get([]byte("only on disk"), nil)
			if want := c.disk != nil && !c.dropped; ok != want {
				t.Errorf("the row that only the disk had: %v, want %v\n%s", ok, want, told.String())
			}
			// What is committed from here on, and what lies on disk, tell of the log.
			kept := slices.ContainsFunc(l.subs[0].tables, func(tl tableLayout) bool { return tl.source < 0 })
			if got := marked(o.point.Topics, log); got != kept {
				t.Errorf("the task tells of the changelog: %v", got)
			}
			if cp, _ := o.store.Checkpoint(); marked(cp.Topics, log) != (kept && !c.fill) {
				t.Errorf("the checkpoint %v tells of the changelog: %v", cp, !kept)
			}
		})
	}
}

// A changelog is filled in pieces, in the order of the keys, and the commit ends behind the last one.
func TestFillInPieces(t *testing.T) {
	l := &layout{app: "a", subs: []*subLayout{{partitions: 1, sources: []sourceLayout{{topicLayout{"rows", 1}, false, 0}}, tables: []tableLayout{{topic: "a-rows-changelog", source: -1}}}}}
	p := &pieceProducer{}
	c := newCommitter(l, nil, p, nil, true, nil)
	st, err := statestore.NewMemory().Open(core.TaskID{}, []statestore.TableSpec{{Name: "rows"}})
	if err != nil {
		t.Fatal(err)
	}
	const n, size = 3000, 4 << 10
	var ws []core.Write
	for i := range n {
		ws = append(ws, core.Write{Key: fmt.Appendf(nil, "%04d", i), Value: make([]byte, size*(i%2)), Time: core.Time(i)})
	}
	if err := st.Apply(ws, statestore.Checkpoint{Changelog: []core.Offset{0}}); err != nil {
		t.Fatal(err)
	}
	ends := []core.Offset{0}
	r := &request{parts: []part{{commit: &core.Commit{}, ends: ends, fill: &opening{store: st, fill: []filling{{table: 0}}}}}}
	if err := c.fill(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if len(p.got) != n || p.most > fillBytes+2*size || ends[0] != n {
		t.Fatalf("%d records in pieces of up to %d bytes, ends %v", len(p.got), p.most, ends)
	}
	for i, r := range p.got {
		if string(r.Key) != fmt.Sprintf("%04d", i) || r.Value == nil || len(r.Value) != size*(i%2) || r.Time != core.Time(i) {
			t.Fatalf("record %d is %q, %d bytes, at %d", i, r.Key, len(r.Value), r.Time)
		}
	}
}

type pieceProducer struct {
	Producer
	got  []core.RawRecord
	most int
}

func (p *pieceProducer) Produce(_ context.Context, bs []*ProduceBatch) error {
	size := 0
	for _, b := range bs {
		for _, r := range b.Records {
			size += len(r.Key) + len(r.Value)
		}
		p.got = append(p.got, slices.Clone(b.Records)...)
		b.End = core.Offset(len(p.got))
	}
	p.most = max(p.most, size)
	return nil
}
