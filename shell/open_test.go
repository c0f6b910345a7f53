package shell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// logBroker is a cluster of logs that hold committed records and nothing else.
type logBroker struct {
	Broker
	start   map[Partition]core.Offset
	logs    map[Partition][]core.RawRecord
	offsets map[Partition]GroupOffset
	reads   int // records that were fetched
	ids     map[string]TopicID
}

func (b *logBroker) end(p Partition) core.Offset {
	if l := b.logs[p]; len(l) > 0 {
		return l[len(l)-1].Offset + 1
	}
	return b.start[p]
}

func (b *logBroker) Committed(_ context.Context, _ string, ps []Partition) (map[Partition]GroupOffset, error) {
	return b.offsets, nil
}

func (b *logBroker) Bounds(_ context.Context, ps []Partition) (map[Partition]Bounds, error) {
	m := map[Partition]Bounds{}
	for _, p := range ps {
		m[p] = Bounds{b.start[p], b.end(p)}
	}
	return m, nil
}

func (b *logBroker) TopicIDs(_ context.Context, names ...string) (map[string]TopicID, error) {
	ids := map[string]TopicID{}
	for _, n := range names {
		ids[n] = b.ids[n]
	}
	return ids, nil
}

func (b *logBroker) NewFetcher(FetchConfig) Fetcher { return &logFetcher{b: b} }

type logFetcher struct {
	b    *logBroker
	todo []Fetched
}

func (f *logFetcher) Add(p Partition, from core.Offset, tag, _ int64) {
	got := Fetched{Partition: p, Tag: tag, Batch: core.Batch{Next: f.b.end(p), CaughtUp: true}}
	for _, r := range f.b.logs[p] {
		if r.Offset >= from {
			got.Batch.Records = append(got.Batch.Records, r)
			f.b.reads++
		}
	}
	f.todo = append(f.todo, got)
}

func (f *logFetcher) Poll(context.Context) ([]Fetched, error) {
	if len(f.todo) == 0 {
		return nil, errors.New("polled with nothing to come")
	}
	got := f.todo[:1]
	f.todo = f.todo[1:]
	return got, nil
}
func (f *logFetcher) Remove(Partition)              {}
func (f *logFetcher) Release(Partition, int64, int) {}
func (f *logFetcher) Close()                        {}

// TestOpen opens the counting task of the joined topology in many situations: what is
// on disk, what the changelog has, what is committed.
func TestOpen(t *testing.T) {
	const at = 10 // the changelog holds offsets from..9
	changelog := Partition{"app-count-changelog", 0}
	now := time.UnixMilli(1_800_000_000_000)
	day := int64(24 * time.Hour / time.Millisecond)

	for _, c := range []struct {
		name    string
		disk    core.Offset // how much of the changelog is on disk; -1: nothing
		age     int64       // of what is on disk, ms
		start   core.Offset // of the changelog
		ends    core.Offset // what the offsets' metadata says
		noMeta  bool        // offsets set by a tool
		reads   int         // records that must be read from the changelog
		dropped bool        // the local state must be dropped
		err     error
	}{
		{name: "empty disk", disk: -1, ends: at, reads: 10},
		{name: "up to date", disk: at, ends: at, reads: 0},
		{name: "up to date and old", disk: at, ends: at, age: 2 * day, reads: 0},
		{name: "behind", disk: 7, ends: at, reads: 3},
		{name: "behind, for too long", disk: 7, ends: at, age: 2 * day, reads: 10, dropped: true},
		{name: "before the changelog", disk: 3, ends: at, start: 5, reads: 5, dropped: true},
		{name: "ahead of the changelog", disk: 12, ends: at, reads: 10, dropped: true},
		{name: "changelog ahead of the offsets", disk: -1, ends: 8, err: ErrMismatch},
		{name: "changelog behind the offsets", disk: -1, ends: 11, err: ErrMismatch},
		{name: "no metadata", disk: -1, noMeta: true, reads: 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1))
			l, err := newLayout(t.Context(), b, joined(t), "app")
			if err != nil {
				t.Fatal(err)
			}
			sub := l.subs[1]
			lb := &logBroker{start: map[Partition]core.Offset{changelog: c.start}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
			count := func(i int) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, byte(i + 1)} }
			for i := int(c.start); i < at; i++ {
				lb.logs[changelog] = append(lb.logs[changelog], core.RawRecord{Key: fmt.Append(nil, "k", i%4), Value: count(i), Offset: core.Offset(i), Time: 1})
			}
			table := core.TableID(-1)
			for i := range sub.tables {
				if sub.tables[i].topic == changelog.Topic {
					table = core.TableID(i)
				}
			}
			md := meta{times: []core.Time{77, -1}, ends: []logEnd{{logHash("other"), 1}, {logHash(changelog.Topic), c.ends}}}.encode()
			if c.noMeta {
				md = ""
			}
			for i, s := range sub.sources {
				p := Partition{s.topic, 0}
				o := GroupOffset{Partition: p}
				if i == 0 {
					o.Metadata = md
				}
				lb.offsets[p] = o
				lb.start[p] = 0
			}
			db := statestore.NewMemory()
			var specs []statestore.TableSpec
			for _, tb := range sub.plan.Tables {
				specs = append(specs, statestore.TableSpec{Name: tb.Name, Schema: tb.Schema, DueOf: tb.DueOf})
			}
			id := core.TaskID{Sub: 1}
			if c.disk >= 0 {
				st, err := db.Open(id, specs)
				if err != nil {
					t.Fatal(err)
				}
				cp := statestore.Checkpoint{Changelog: make([]core.Offset, len(specs)), Wall: core.Time(now.UnixMilli() - c.age)}
				cp.Changelog[table] = c.disk
				var ws []core.Write
				for i := range int(c.disk) {
					ws = append(ws, core.Write{Table: table, Key: fmt.Append(nil, "k", i%4), Value: count(i), Time: 1})
				}
				ws = append(ws, core.Write{Table: table, Key: []byte("only on disk"), Value: count(0), Time: 1})
				if err := errors.Join(st.Apply(ws, cp), st.Close()); err != nil {
					t.Fatal(err)
				}
			}
			var log strings.Builder
			cfg := Config{Broker: lb, Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(&log, nil))}.withDefaults("app")
			o := &opening{id: id, sub: sub}
			newOpener(&cfg, l, db).run(t.Context(), o)
			if c.err != nil {
				if !errors.Is(o.err, c.err) {
					t.Errorf("got %v, want %v", o.err, c.err)
				}
				if st, err := db.Open(id, specs); err != nil {
					t.Errorf("the store was left open: %v", err)
				} else {
					_ = st.Close()
				}
				return
			}
			if o.err != nil {
				t.Fatal(o.err)
			}
			if lb.reads != c.reads || int(o.restored) != c.reads {
				t.Errorf("%d records were read, %d restored; want %d", lb.reads, o.restored, c.reads)
			}
			if got := strings.Contains(log.String(), "local state is dropped"); got != c.dropped {
				t.Errorf("dropped: %v, want %v: %s", got, c.dropped, log.String())
			}
			for i := range 4 {
				key := fmt.Append(nil, "k", i)
				v, _, ok, err := o.store.View(table).Get(key, nil)
				want := count([]int{8, 9, 6, 7}[i]) // the last of each key
				if err != nil || !ok || string(v) != string(want) {
					t.Errorf("%s is %v, %v, %v; want %v", key, v, ok, err, want)
				}
			}
			if _, _, ok, _ := o.store.View(table).Get([]byte("only on disk"), nil); ok != (c.disk >= 0 && !c.dropped) {
				t.Errorf("the row that only the disk had: %v", ok)
			}
			if cp, ok := o.store.Checkpoint(); !ok || cp.Changelog[table] != at {
				t.Errorf("checkpoint %v, %v", cp, ok)
			}
			if want := core.Time(77); !c.noMeta && o.core.StreamTime() != want {
				t.Errorf("stream time %d, want %d", o.core.StreamTime(), want)
			}
		})
	}
}

// TestOpenLostOffsets: input that was deleted before it was read is an error, never a jump.
func TestOpenLostOffsets(t *testing.T) {
	p := Partition{"orders", 0}
	for name, next := range map[string]core.Offset{"deleted": 3, "topic made anew": 99} {
		_, err := startPoint(map[Partition]GroupOffset{p: {Partition: p, Next: next}}, map[Partition]Bounds{p: {Start: 5, End: 50}}, []Partition{p})
		var oe *OffsetError
		if !errors.As(err, &oe) || oe.Want != next {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// Nothing committed: from the first record that there is.
	cp, err := startPoint(nil, map[Partition]Bounds{p: {Start: 5, End: 50}}, []Partition{p})
	if err != nil || cp.next[0] != 5 {
		t.Errorf("got %v, %v", cp.next, err)
	}
}
