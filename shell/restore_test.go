package shell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// slowBroker lets time pass at each read of a log.
type slowBroker struct {
	*logBroker
	read func()
}

func (b slowBroker) NewFetcher(cfg FetchConfig) Fetcher {
	return slowFetcher{b.logBroker.NewFetcher(cfg), b.read}
}

type slowFetcher struct {
	Fetcher
	read func()
}

func (f slowFetcher) Add(p Partition, from core.Offset, tag, priority int64) {
	f.Fetcher.Add(p, from, tag, priority)
	f.read()
}

// watchedDB tells of each checkpoint before it is applied.
type watchedDB struct {
	statestore.DB
	apply func(statestore.Checkpoint)
}

func (db watchedDB) Open(id core.TaskID, tables []statestore.TableSpec) (statestore.Store, error) {
	s, err := db.DB.Open(id, tables)
	return watchedStore{s, db.apply}, err
}

func (db watchedDB) OpenGlobal(spec statestore.TableSpec) (statestore.Global, error) {
	g, err := db.DB.OpenGlobal(spec)
	return watchedGlobal{g, db.apply}, err
}

type watchedStore struct {
	statestore.Store
	apply func(statestore.Checkpoint)
}

func (s watchedStore) Apply(writes []core.Write, cp statestore.Checkpoint) error {
	s.apply(cp)
	return s.Store.Apply(writes, cp)
}

type watchedGlobal struct {
	statestore.Global
	apply func(statestore.Checkpoint)
}

func (g watchedGlobal) Apply(writes []core.Write, cp statestore.Checkpoint) error {
	g.apply(cp)
	return g.Global.Apply(writes, cp)
}

// notLate is a store into which no rows may come that were begun more than a day ago: at the end of
// the log they would be trusted after a crash. (Found by the simulator: seed 20059247.)
func notLate(t *testing.T, now *time.Time) statestore.DB {
	return watchedDB{statestore.NewMemory(), func(cp statestore.Checkpoint) {
		if age := now.Sub(time.UnixMilli(int64(cp.Wall))); age > 24*time.Hour {
			t.Errorf("rows that are %v old are applied, up to %v %v", age, cp.Input, cp.Changelog)
		}
	}}
}

// A restore that takes longer than the changelog keeps its tombstones has read rows whose
// deletions may be gone by the time that it comes to them: it begins anew. And what was
// restored is as of when it began. (Found by the simulator: seed 582 at that time.)
func TestSlowRestore(t *testing.T) {
	for _, c := range []struct {
		takes time.Duration
		reads int
	}{{time.Hour, 10}, {25 * time.Hour, 20}} {
		b := cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1))
		l, err := newLayout(t.Context(), b, joined(t), "app")
		if err != nil {
			t.Fatal(err)
		}
		changelog := Partition{"app-count-changelog", 0}
		lb := &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
		for i := range 10 {
			lb.logs[changelog] = append(lb.logs[changelog], core.RawRecord{Key: fmt.Append(nil, "k", i%4), Value: make([]byte, 8), Offset: core.Offset(i)})
		}
		now := time.UnixMilli(1_800_000_000_000)
		began, passed := now, false
		cfg := Config{Broker: slowBroker{lb, func() {
			if !passed {
				now, passed = now.Add(c.takes), true
			}
		}}, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
		o := &opening{id: core.TaskID{Sub: 1}, sub: l.subs[1]}
		newOpener(&cfg, l, notLate(t, &now)).run(t.Context(), o)
		if o.err != nil {
			t.Fatal(o.err)
		}
		if lb.reads != c.reads {
			t.Errorf("%v: %d records were read, want %d", c.takes, lb.reads, c.reads)
		}
		want := began // of the look that the rows are of
		if c.reads > 10 {
			want = began.Add(c.takes)
		}
		if cp, ok := o.store.Checkpoint(); !ok || cp.Wall != core.Time(want.UnixMilli()) {
			t.Errorf("%v: checkpoint of %v, want %v", c.takes, time.UnixMilli(int64(cp.Wall)), want)
		}
	}
}

// What is restored on top of local state is as old as that until all of it is restored: a row that was read before may
// have been deleted farther behind, by a tombstone that is kept for a time that began then.
func TestRestoreGoesOn(t *testing.T) {
	b := cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1))
	l, err := newLayout(t.Context(), b, joined(t), "app")
	if err != nil {
		t.Fatal(err)
	}
	changelog := Partition{"app-count-changelog", 0}
	lb := &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
	for i := range 10 {
		lb.logs[changelog] = append(lb.logs[changelog], core.RawRecord{Key: fmt.Append(nil, "k", i%4), Value: make([]byte, 8), Offset: core.Offset(i)})
	}
	now := time.UnixMilli(1_800_000_000_000)
	var walls []core.Time
	cfg := Config{Broker: lb, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
	db := watchedDB{statestore.NewMemory(), func(cp statestore.Checkpoint) { walls = append(walls, cp.Wall) }}
	run := func() *opening {
		walls = nil
		o := &opening{id: core.TaskID{Sub: 1}, sub: l.subs[1]}
		op := newOpener(&cfg, l, db)
		op.batch = 3
		if op.run(t.Context(), o); o.err != nil {
			t.Fatal(o.err)
		}
		if len(walls) < 2 {
			t.Fatalf("%d checkpoints, want some on the way", len(walls))
		}
		return o
	}
	o := run()
	began := now
	cp, ok := o.store.Checkpoint()
	if cp.Changelog[len(cp.Changelog)-1] = 4; !ok { // as if it had been interrupted there
		t.Fatal("no checkpoint")
	}
	if err := o.store.Apply(nil, cp); err != nil {
		t.Fatal(err)
	}
	if err := o.store.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	run()
	for i, wall := range walls {
		want := began
		if i+1 == len(walls) {
			want = now
		}
		if wall != core.Time(want.UnixMilli()) {
			t.Errorf("checkpoint %d of %d is of %v, want %v", i+1, len(walls), time.UnixMilli(int64(wall)), want)
		}
	}
}

// anewBroker has a changelog that is deleted and made again, empty, before it is first read.
type anewBroker struct {
	*logBroker
	log Partition
}

func (b anewBroker) NewFetcher(cfg FetchConfig) Fetcher {
	delete(b.logs, b.log)
	return b.logBroker.NewFetcher(cfg)
}

// A restore does not wait for an end that a changelog had and will not have again. What is there is
// looked at once more: with rows that are gone from it, it is refused. (Found by the simulator, seed 3014864.)
func TestRestoreOfALogMadeAnew(t *testing.T) {
	b := cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1))
	l, err := newLayout(t.Context(), b, joined(t), "app")
	if err != nil {
		t.Fatal(err)
	}
	changelog := Partition{"app-count-changelog", 0}
	lb := &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
	lb.logs[changelog] = []core.RawRecord{{Key: []byte("k"), Value: make([]byte, 8)}}
	for i, s := range l.subs[1].sources {
		p := Partition{s.topic, 0}
		o := GroupOffset{Partition: p}
		if i == 0 {
			o.Metadata = meta{times: []core.Time{77, -1}, ends: []logEnd{{logHash(changelog.Topic), 1}}}.encode()
		}
		lb.offsets[p] = o
	}
	cfg := Config{Broker: anewBroker{lb, changelog}, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
	o := &opening{id: core.TaskID{Sub: 1}, sub: l.subs[1]}
	newOpener(&cfg, l, statestore.NewMemory()).run(t.Context(), o)
	var anew *AnewError
	if !errors.As(o.err, &anew) || anew.Partition != changelog || anew.Had != 1 || anew.Has != 0 {
		t.Errorf("%v, want that the changelog has lost its record", o.err)
	}
}

// deletedBroker deletes a topic, and the group's offsets of it, while a changelog is read.
type deletedBroker struct {
	*logBroker
	gone Partition
}

func (b deletedBroker) NewFetcher(cfg FetchConfig) Fetcher {
	return deletedFetcher{b.logBroker.NewFetcher(cfg), b}
}

type deletedFetcher struct {
	Fetcher
	b deletedBroker
}

func (f deletedFetcher) Poll(ctx context.Context) ([]Fetched, error) {
	if _, ok := f.b.offsets[f.b.gone]; ok {
		delete(f.b.offsets, f.b.gone)
		delete(f.b.logs, f.b.gone)
		return nil, fmt.Errorf("%w: somebody else is at it", ErrMismatch)
	}
	return f.Fetcher.Poll(ctx)
}

// What was committed when a task's opening was tried is known when it is tried again, and the offsets have gone with their topic:
// the task does not begin anew in silence. (Found by the simulator: seed 300001275 of ff99043.)
func TestSourceIsDeletedWhileRestoring(t *testing.T) {
	l, err := newLayout(t.Context(), cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1)), joined(t), "app")
	if err != nil {
		t.Fatal(err)
	}
	changelog, source := Partition{"app-count-changelog", 0}, Partition{l.subs[1].sources[0].topic, 0}
	lb := &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
	for _, p := range []Partition{changelog, source} {
		lb.logs[p] = []core.RawRecord{{Key: []byte("k"), Value: make([]byte, 8)}}
	}
	lb.offsets[source] = GroupOffset{source, 1, meta{times: []core.Time{77, -1}}.encode()}
	cfg := Config{Broker: deletedBroker{lb, source}, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
	o := &opening{id: core.TaskID{Sub: 1}, sub: l.subs[1]}
	newOpener(&cfg, l, statestore.NewMemory()).run(t.Context(), o)
	var lost *OffsetError
	if !errors.As(o.err, &lost) || lost.Partition != source || lost.Want != 1 {
		t.Errorf("%v, want that the source is gone", o.err)
	}
}

// lateOwner commits once more before somebody reads what it has committed.
type lateOwner struct {
	*logBroker
	commits func()
}

func (b lateOwner) Committed(ctx context.Context, group string, ps []Partition) (map[Partition]GroupOffset, error) {
	b.commits()
	return b.logBroker.Committed(ctx, group, ps)
}

// The committed offsets are read before the ends of changelogs, so that all that they stand for is below those: the former owner may
// commit at any time. At least once nothing else tells that rows are missing.
func TestEndsAreReadBehindOffsets(t *testing.T) {
	for _, atLeastOnce := range []bool{false, true} {
		l, err := newLayout(t.Context(), cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1)), joined(t), "app")
		if err != nil {
			t.Fatal(err)
		}
		changelog, source := Partition{"app-count-changelog", 0}, Partition{l.subs[1].sources[0].topic, 0}
		lb := &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
		lb.logs[source] = make([]core.RawRecord, 3)
		for i := range lb.logs[source] {
			lb.logs[source][i].Offset = core.Offset(i)
		}
		commit := func() {
			n := core.Offset(len(lb.logs[changelog]))
			lb.logs[changelog] = append(lb.logs[changelog], core.RawRecord{Key: fmt.Append(nil, "k", n), Value: make([]byte, 8), Offset: n})
			m := meta{times: []core.Time{77, -1}}
			if !atLeastOnce {
				m.ends = []logEnd{{logHash(changelog.Topic), n + 1}}
			}
			lb.offsets[source] = GroupOffset{source, n + 1, m.encode()}
		}
		commit()
		cfg := Config{Broker: lateOwner{lb, commit}, AtLeastOnce: atLeastOnce, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
		o := &opening{id: core.TaskID{Sub: 1}, sub: l.subs[1]}
		newOpener(&cfg, l, statestore.NewMemory()).run(t.Context(), o)
		if o.err != nil {
			t.Fatal(o.err)
		}
		if o.restored != 2+2 || o.point.Input[0] != 2 { // of the changelog, and of the source, which is a table
			t.Errorf("at least once %v: %d rows were restored, and it goes on at %d; want all of 2 records", atLeastOnce, o.restored, o.point.Input[0])
		}
		o.discard()
	}
}
