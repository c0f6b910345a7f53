package wakeups

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// memory is a Kafka of slices, for one process whose members are all there from the beginning: task t
// of all tasks, in their order, is that of member t modulo their number.
type memory struct {
	members int

	mu        sync.Mutex
	topics    map[string]shell.Topic
	logs      map[shell.Partition][]core.RawRecord
	committed map[shell.Partition]shell.GroupOffset
	fetchers  map[*fetcher]bool
	groups    []*group
	appended  func(shell.Partition, int) // told of what is committed
}

func newMemory(members int, topics ...shell.Topic) *memory {
	m := &memory{
		members: members, topics: map[string]shell.Topic{}, logs: map[shell.Partition][]core.RawRecord{},
		committed: map[shell.Partition]shell.GroupOffset{}, fetchers: map[*fetcher]bool{}, appended: func(shell.Partition, int) {},
	}
	_ = m.CreateTopics(context.Background(), topics)
	return m
}

// write appends records and wakes who reads.
func (m *memory) write(p shell.Partition, rs ...core.RawRecord) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.append(p, rs...)
}

// append is write. mu is held.
func (m *memory) append(p shell.Partition, rs ...core.RawRecord) {
	for _, r := range rs {
		r.Offset = core.Offset(len(m.logs[p]))
		r.Key, r.Value, r.Headers = slices.Clone(r.Key), slices.Clone(r.Value), slices.Clone(r.Headers)
		m.logs[p] = append(m.logs[p], r)
	}
	for f := range m.fetchers {
		if f.parts[p] != nil {
			f.signal()
		}
	}
	m.appended(p, len(rs))
}

func (m *memory) Topics(_ context.Context, names ...string) (map[string]shell.Topic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := map[string]shell.Topic{}
	for _, n := range names {
		if t, ok := m.topics[n]; ok {
			got[n] = t
		}
	}
	return got, nil
}

func (m *memory) CreateTopics(_ context.Context, topics []shell.Topic) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range topics {
		config := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "delete.retention.ms": "86400000", "max.message.bytes": "1048588"}
		for k, v := range t.Config {
			config[k] = v
		}
		t.Config = config
		m.topics[t.Name] = t
	}
	return nil
}

func (m *memory) Bounds(_ context.Context, ps []shell.Partition) (map[shell.Partition]shell.Bounds, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := map[shell.Partition]shell.Bounds{}
	for _, p := range ps {
		got[p] = shell.Bounds{End: core.Offset(len(m.logs[p]))}
	}
	return got, nil
}

func (m *memory) TopicIDs(context.Context, ...string) (map[string]shell.TopicID, error) {
	return nil, nil
}

func (m *memory) Committed(_ context.Context, _ string, ps []shell.Partition) (map[shell.Partition]shell.GroupOffset, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := map[shell.Partition]shell.GroupOffset{}
	for _, p := range ps {
		if o, ok := m.committed[p]; ok {
			got[p] = o
		}
	}
	return got, nil
}

func (m *memory) DeleteRecords(context.Context, map[shell.Partition]core.Offset) error { return nil }

func (m *memory) Close() error { return nil }

// fetcher reads logs.
type fetcher struct {
	m     *memory
	parts map[shell.Partition]*reading // under the memory's mu
	order []shell.Partition
	ready chan struct{}
}

type reading struct {
	next          core.Offset
	tag, priority int64
	told          bool // that it has caught up
}

func (m *memory) NewFetcher(shell.FetchConfig) shell.Fetcher {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &fetcher{m: m, parts: map[shell.Partition]*reading{}, ready: make(chan struct{}, 1)}
	m.fetchers[f] = true
	return f
}

func (f *fetcher) signal() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

func (f *fetcher) Add(p shell.Partition, from core.Offset, tag, priority int64) {
	f.Remove(p)
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.parts[p] = &reading{next: from, tag: tag, priority: priority}
	i := slices.IndexFunc(f.order, func(q shell.Partition) bool { return f.parts[q].priority > priority })
	if i < 0 {
		i = len(f.order)
	}
	f.order = slices.Insert(f.order, i, p)
	f.signal()
}

func (f *fetcher) Remove(p shell.Partition) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	delete(f.parts, p)
	f.order = slices.DeleteFunc(f.order, func(q shell.Partition) bool { return q == p })
}

func (f *fetcher) Poll(ctx context.Context) ([]shell.Fetched, error) {
	for {
		if got := f.take(); len(got) > 0 {
			return got, nil
		}
		select {
		case <-f.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *fetcher) take() (got []shell.Fetched) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	for _, p := range f.order {
		r := f.parts[p]
		rs := f.m.logs[p][r.next:]
		if len(rs) == 0 && r.told {
			continue
		}
		x := shell.Fetched{Partition: p, Tag: r.tag, Batch: core.Batch{Records: slices.Clone(rs), Next: r.next + core.Offset(len(rs)), CaughtUp: true}}
		for i := range rs {
			x.Bytes += rs[i].Size()
		}
		r.next, r.told = x.Batch.Next, true
		got = append(got, x)
	}
	return got
}

func (f *fetcher) Release(shell.Partition, int64, int) {}

func (f *fetcher) Close() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	delete(f.m.fetchers, f)
}

// producer writes what is committed when it ends.
type producer struct {
	m       *memory
	batches []*shell.ProduceBatch
	records [][]core.RawRecord
	offsets []shell.GroupOffset
}

func (m *memory) NewProducer(shell.ProducerConfig) shell.Producer { return &producer{m: m} }

func (p *producer) Open(context.Context) error { return nil }

// Produce reserves nothing: transactions end one after the other here, and each log has one writer, but
// for those of repartition topics, whose ends nobody asks for.
func (p *producer) Produce(_ context.Context, batches []*shell.ProduceBatch) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for _, b := range batches {
		p.batches, p.records = append(p.batches, b), append(p.records, slices.Clone(b.Records))
		b.End = core.Offset(len(p.m.logs[b.Partition]) + len(b.Records))
	}
	return nil
}

func (p *producer) SendOffsets(_ context.Context, _ shell.Group, offsets []shell.GroupOffset) error {
	p.offsets = slices.Clone(offsets)
	return nil
}

func (p *producer) End(context.Context) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for _, o := range p.offsets {
		p.m.committed[o.Partition] = o
	}
	for i, b := range p.batches {
		p.m.append(b.Partition, p.records[i]...)
	}
	p.batches, p.records = nil, nil
	return nil
}

func (p *producer) Abort(context.Context) error { return errors.New("wakeups: nothing fails here") }
func (p *producer) Close() error                { return nil }

// group gives a member its tasks, and takes and gives them as the test likes.
type group struct {
	events chan shell.GroupEvent
	mine   []core.TaskID
	once   sync.Once
}

func (m *memory) Join(_ context.Context, cfg shell.GroupConfig) (shell.Group, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := &group{events: make(chan shell.GroupEvent)}
	n := 0
	for sub, names := range cfg.Sources {
		for p := range m.topics[names[0]].Partitions {
			if n%m.members == len(m.groups) {
				g.mine = append(g.mine, core.TaskID{Sub: int32(sub), Partition: p})
			}
			n++
		}
	}
	m.groups = append(m.groups, g)
	go func() {
		for _, t := range g.mine {
			g.events <- shell.GroupEvent{Kind: shell.Assigned, Task: t}
		}
	}()
	return g, nil
}

func (g *group) Events() <-chan shell.GroupEvent { return g.events }

// revoke takes a task away, and returns when that is answered, or ctx ends.
func (g *group) revoke(ctx context.Context, t core.TaskID) error {
	done := make(chan struct{})
	select {
	case g.events <- shell.GroupEvent{Kind: shell.Revoked, Task: t, Done: func() { close(done) }}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *group) Close(ctx context.Context) (err error) {
	g.once.Do(func() {
		for _, t := range g.mine {
			err = errors.Join(err, g.revoke(ctx, t))
		}
		close(g.events)
	})
	return err
}
