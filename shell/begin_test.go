package shell

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// A task is not restored from a changelog that begins later than it did when the application saw it first. Local state that reaches
// beyond the beginning goes on, and what is committed with it still says where the changelog began.
func TestBegin(t *testing.T) {
	const end = 10 // of the changelog
	changelog := Partition{"app-count-changelog", 0}
	now := time.UnixMilli(1_800_000_000_000)
	for _, c := range []struct {
		name  string
		began core.Offset // what is committed says that; -1: it does not
		start core.Offset
		disk  core.Offset // how much of the changelog is on disk; -1: nothing, -2: there is a checkpoint, without the table
		age   time.Duration
		fails bool
		warns bool
		tool  bool        // a tool has set the offsets
		next  core.Offset // what the next commit says
	}{
		{name: "it is whole", disk: -1},
		{name: "it is taken over, and began late", began: 5, start: 5, disk: -1, next: 5},
		{name: "an earlier version has committed", began: -1, start: 5, disk: -1, next: 5},
		{name: "an earlier version has committed, and local state lies before", began: -1, start: 5, disk: 3, next: 5},
		{name: "what is left is accepted", start: 5, disk: -1, tool: true, next: 5},
		{name: "nothing is on disk", start: 5, disk: -1, fails: true},
		{name: "all of it is gone", start: end, disk: -1, fails: true},
		{name: "it was taken over, and more is gone", began: 5, start: 6, disk: -1, fails: true},
		{name: "the table is not on disk", start: 5, disk: -2, fails: true},
		{name: "local state lies before", start: 5, disk: 4, fails: true},
		{name: "local state is too old", start: 5, disk: 7, age: 48 * time.Hour, fails: true},
		{name: "local state ends where it begins", start: 5, disk: 5, warns: true},
		{name: "local state reaches beyond", start: 5, disk: 7, warns: true},
		{name: "local state reaches to the end", start: 5, disk: end, age: 48 * time.Hour, warns: true},
		{name: "local state reaches beyond, and it was taken over", began: 4, start: 5, disk: 7, warns: true, next: 4},
	} {
		for _, atLeastOnce := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, at least once %v", c.name, atLeastOnce), func(t *testing.T) {
				l, err := newLayout(t.Context(), cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1)), joined(t), "app")
				if err != nil {
					t.Fatal(err)
				}
				sub, table := l.subs[1], core.TableID(-1)
				for i := range sub.tables {
					if sub.tables[i].topic == changelog.Topic {
						table = core.TableID(i)
					}
				}
				lb := &logBroker{start: map[Partition]core.Offset{changelog: c.start}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
				for o := c.start; o < end; o++ {
					lb.logs[changelog] = append(lb.logs[changelog], core.RawRecord{Key: []byte("k"), Value: make([]byte, 8), Offset: o})
				}
				var names []string
				for _, s := range sub.sources {
					names = append(names, s.topic)
				}
				m := meta{times: []core.Time{77, -1}, topics: marks(append(names, changelog.Topic), nil), begun: c.began >= 0}
				if c.began > 0 {
					m.begins = []logBegin{{logHash("other"), 9}, {logHash(changelog.Topic), c.began}}
				}
				if !atLeastOnce {
					m.ends = []logEnd{{logHash(changelog.Topic), end}}
				}
				for i, name := range names { // the metadata of a task may be with any source
					o := GroupOffset{Partition: Partition{name, 0}}
					if i == 0 && !c.tool {
						o.Metadata = m.encode()
					}
					lb.offsets[o.Partition], lb.start[o.Partition] = o, 0
				}
				var log strings.Builder
				db := statestore.NewMemory()
				cfg := Config{Broker: lb, AtLeastOnce: atLeastOnce, Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(&log, nil))}.withDefaults("app")
				op := newOpener(&cfg, l, db)
				o := &opening{id: core.TaskID{Sub: 1}, sub: sub}
				if c.disk != -1 {
					st, err := op.openStore(t.Context(), o)
					if err != nil {
						t.Fatal(err)
					}
					cp := statestore.Checkpoint{Changelog: make([]core.Offset, len(sub.tables)), Wall: core.Time(now.Add(-c.age).UnixMilli())}
					cp.Changelog[table] = max(c.disk, -1)
					if err := errors.Join(st.Apply([]core.Write{{Table: table, Key: []byte("on disk"), Value: make([]byte, 8)}}, cp), st.Close()); err != nil {
						t.Fatal(err)
					}
				}
				op.run(t.Context(), o)
				if got := strings.Contains(log.String(), "has lost its beginning"); got != c.warns {
					t.Errorf("warned: %v; %s", got, log.String())
				}
				if c.fails {
					var be *BeginError
					if !errors.As(o.err, &be) || !errors.Is(o.err, ErrTopic) || be.Partition != changelog || be.Had != c.began || be.Has != c.start {
						t.Fatalf("got %v", o.err)
					}
					st, err := op.openStore(t.Context(), &opening{id: o.id, sub: sub})
					if err != nil {
						t.Fatal(err)
					}
					if _, _, ok, err := st.View(table).Get([]byte("on disk"), nil); err != nil || ok != (c.disk != -1) {
						t.Errorf("the local state is there: %v, %v", ok, err) // it may be the last that there is
					}
					return
				}
				if o.err != nil {
					t.Fatal(o.err)
				}
				defer o.discard()
				committer := &committer{layout: l, atomic: !atLeastOnce}
				said, err := decodeMeta(committer.meta(sub, part{
					commit: &core.Commit{Task: o.id}, ends: make([]core.Offset, len(sub.tables)), begins: o.begins, topics: o.point.Topics,
				}).encode())
				if at := said.begin(changelog.Topic); err != nil || at != c.next {
					t.Errorf("the next commit says that it began at %d (%v), want %d", at, err, c.next)
				}
			})
		}
	}
}

// A topic that a source reads may begin anywhere, also where a table is restored from it.
func TestSourcesMayBegin(t *testing.T) {
	l, err := newLayout(t.Context(), cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1)), joined(t), "app")
	if err != nil {
		t.Fatal(err)
	}
	lb := &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
	var names []string
	for _, s := range l.subs[1].sources {
		p := Partition{s.topic, 0}
		names = append(names, s.topic)
		lb.start[p], lb.logs[p] = 5, []core.RawRecord{{Key: []byte("k"), Value: []byte("{}"), Offset: 7}}
	}
	m := meta{times: []core.Time{77, -1}, topics: marks(append(names, "app-count-changelog"), nil), begun: true}
	for i, name := range names {
		o := GroupOffset{Partition: Partition{name, 0}, Next: 8}
		if i == 0 {
			o.Metadata = m.encode()
		}
		lb.offsets[o.Partition] = o
	}
	cfg := Config{Broker: lb, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
	o := &opening{id: core.TaskID{Sub: 1}, sub: l.subs[1]}
	newOpener(&cfg, l, statestore.NewMemory()).run(t.Context(), o)
	if o.err != nil || o.restored == 0 {
		t.Fatalf("%v, %d records restored", o.err, o.restored)
	}
	o.discard()
}
