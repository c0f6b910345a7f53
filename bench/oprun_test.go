package bench

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

const (
	opRecords = 5_000 // of each topic in a round, a millisecond apart
	opKeys    = 500   // of which few come often
)

// noRows is a view of nothing: rows stay in the task.
type noRows struct{}

func (noRows) Get(_, buf []byte) ([]byte, core.Time, bool, error) { return buf, 0, false, nil }

func (noRows) Scan(_, _ []byte, _ func(_, _ []byte, _ core.Time) bool) error { return nil }

// sameRow is a view in which each key has the same row: a global table's.
type sameRow struct{ noRows }

func (sameRow) Get(_, buf []byte) ([]byte, core.Time, bool, error) {
	return append(buf, 0, 0, 0, 0, 0, 0, 0, 7), 1, true, nil
}

// opRun runs all tasks of a topology, with its internal topics in memory.
type opRun struct {
	units []*opUnit
	fed   []*opFeed
	at    core.Time
}

// opUnit is a task and what it reads and writes.
type opUnit struct {
	*core.Task
	in  []*opTopic // by source
	all []*core.Batch
	out []*opTopic // by sink; nil: not read by anyone here
}

// opTopic is what waits for its reader.
type opTopic struct {
	batch core.Batch
	bytes []byte
}

// opFeed is a topic that is written from outside.
type opFeed struct {
	*opTopic
	once    bool
	records []core.RawRecord
}

func newOpRun(tb testing.TB, o operator) *opRun {
	tb.Helper()
	b := topology.New("ops")
	o.build(b)
	return newRun(tb, b, func(topic string) *opFeed { return &opFeed{once: topic == "rows", records: opContent(topic)} })
}

// newRun makes the tasks of a topology; feed says what each topic gets that is written from
// outside.
func newRun(tb testing.TB, b *topology.Builder, feed func(topic string) *opFeed) *opRun {
	tb.Helper()
	plan := build(tb, b)
	run := &opRun{at: 1}
	topics := map[string]*opTopic{}
	for _, sub := range plan.Subtopologies() {
		cfg := core.TaskConfig{ID: core.TaskID{Sub: sub.ID}, CacheBytes: 1 << 30}
		cfg.View = func(core.TableID) core.View { return noRows{} }
		cfg.Global = func(core.GlobalID) core.View { return sameRow{} }
		u := &opUnit{Task: sub.NewTask(cfg)}
		for s, src := range sub.Sources {
			tp := &opTopic{batch: core.Batch{Source: core.SourceID(s), CaughtUp: true}}
			topics[src.TopicName(plan.Name())] = tp
			u.all = append(u.all, &tp.batch)
			if u.in = append(u.in, tp); !src.Repartition {
				f := feed(src.Topic)
				f.opTopic = tp
				run.fed = append(run.fed, f)
			}
		}
		run.units = append(run.units, u)
	}
	for i, sub := range plan.Subtopologies() {
		for _, sink := range sub.Sinks {
			run.units[i].out = append(run.units[i].out, topics[sink.TopicName(plan.Name())])
		}
	}
	return run
}

// opContent is a round's records of a topic.
func opContent(topic string) []core.RawRecord {
	rng := rand.New(rand.NewPCG(uint64(len(topic)), 1))
	zipf := rand.NewZipf(rng, 1.1, 4, opKeys-1)
	rs := make([]core.RawRecord, opRecords)
	for i := range rs {
		key := int64(zipf.Uint64())
		if topic == "rows" {
			key = int64(i % opKeys) // all of them
		}
		rs[i] = core.RawRecord{
			Key: must(codec.Int64.Append(nil, key)), Value: must(codec.Int64.Append(nil, rng.Int64N(1000))), Time: core.Time(i),
		}
	}
	return rs
}

// round tells the clock, feeds all topics, runs all tasks until they rest, and returns how many records were
// fed.
func (r *opRun) round(tb testing.TB) (fed int) {
	for _, u := range r.units {
		if u.Ticks() {
			if err := u.Tick(r.at); err != nil {
				tb.Fatal(err)
			}
		}
	}
	for _, f := range r.fed {
		if f.once && r.at > 1 {
			continue
		}
		for _, rec := range f.records {
			rec.Time += r.at
			f.add(rec)
		}
		fed += len(f.records)
	}
	r.at += opRecords
	r.rest(tb)
	return fed
}

// rest runs all tasks until nothing waits.
func (r *opRun) rest(tb testing.TB) {
	for i := 0; i < len(r.units); i++ {
		if r.units[i].run(tb) {
			i = -1 // those further up first
		}
	}
}

// add appends a record, at the next offset.
func (t *opTopic) add(r core.RawRecord) {
	r.Offset = t.batch.Next
	t.batch.Next++
	t.batch.Arrived = r.Time
	t.batch.Records = append(t.batch.Records, r)
}

// run steps what waits, commits it and hands the outputs on. It reports whether there was
// anything.
func (u *opUnit) run(tb testing.TB) bool {
	waits := slices.ContainsFunc(u.in, func(t *opTopic) bool { return len(t.batch.Records) > 0 })
	if !waits {
		return false
	}
	if err := u.Step(u.all...); err != nil {
		tb.Fatal(err)
	}
	for _, t := range u.in {
		t.batch.Records, t.bytes = t.batch.Records[:0], t.bytes[:0]
	}
	c, err := u.Ready()
	if err != nil {
		tb.Fatal(err)
	}
	for i := range c.Outputs {
		o := &c.Outputs[i]
		if to := u.out[o.Sink]; to != nil {
			to.add(core.RawRecord{Key: to.keep(o.Key), Value: to.keep(o.Value), Time: o.Time})
		}
	}
	u.Advance()
	return true
}

// keep copies bytes. Those that were handed out stay where they are, also if the buffer moves.
func (t *opTopic) keep(b []byte) []byte {
	n := len(t.bytes)
	t.bytes = append(t.bytes, b...)
	return t.bytes[n:len(t.bytes):len(t.bytes)]
}
