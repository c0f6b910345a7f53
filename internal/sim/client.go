package sim

import (
	"context"
	"maps"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
)

// client is a process's side of the cluster: shell's Broker.
type client struct{ l *life }

// call is one request: it can stand still before it has come in, and before its answer
// is back.
func (l *life) call(what string, do func()) bool {
	w := l.w
	if w.now < w.kafka.down && !l.dead {
		w.faults.took(w, "coordinators down", "")
	}
	w.wait(func() bool { return w.now >= w.kafka.down })
	if l.dead {
		return false
	}
	w.note(what, l.slot.instance, int64(l.id), 0)
	do()
	w.wait(nil)
	return !l.dead
}

func (c client) Topics(_ context.Context, names ...string) (map[string]shell.Topic, error) {
	ts := map[string]shell.Topic{}
	c.l.call("Topics", func() {
		for _, n := range names {
			if t := c.l.w.kafka.topics[n]; t != nil {
				ts[n] = shell.Topic{Name: t.Name, Partitions: t.Partitions, Config: maps.Clone(t.Config)}
			}
		}
	})
	return ts, nil
}

func (c client) CreateTopics(_ context.Context, ts []shell.Topic) error {
	c.l.call("CreateTopics", func() {
		for _, t := range ts {
			c.l.w.kafka.create(t)
		}
	})
	return nil
}

func (c client) TopicIDs(ctx context.Context, names ...string) (map[string]shell.TopicID, error) {
	ids := map[string]shell.TopicID{}
	c.l.call("TopicIDs", func() {
		for _, n := range names {
			if t := c.l.w.kafka.topics[n]; t != nil && c.l.w.deletion.ids {
				ids[n] = shell.TopicID{0: 1, 15: byte(t.made)}
			}
		}
	})
	return ids, ctx.Err()
}

func (c client) Bounds(ctx context.Context, ps []shell.Partition) (map[shell.Partition]shell.Bounds, error) {
	bs := map[shell.Partition]shell.Bounds{}
	c.l.call("Bounds", func() {
		for _, p := range ps {
			log := c.l.w.kafka.part(p)
			end := log.end()
			if c.l.w.bug("bounds are the last stable offset") {
				end = log.stable()
			}
			bs[p] = shell.Bounds{Start: log.start, End: end}
		}
	})
	return bs, ctx.Err()
}

func (c client) Committed(ctx context.Context, _ string, ps []shell.Partition) (map[shell.Partition]shell.GroupOffset, error) {
	k := c.l.w.kafka
	os := map[shell.Partition]shell.GroupOffset{}
	for ctx.Err() == nil && !c.l.dead {
		again := false
		c.l.call("Committed", func() {
			if again = k.pending(ps); again && !c.l.w.bug("committed offsets are read while a transaction is pending") {
				invariant.Sometimes("sim: committed offsets are waited for")
				return
			}
			again = false
			for _, p := range ps {
				if o := k.offsets[p]; o.ok {
					os[p] = o.GroupOffset
				}
			}
		})
		if !again {
			return os, ctx.Err()
		}
		c.l.w.wait(func() bool { return !k.pending(ps) || ctx.Err() != nil })
	}
	return nil, ctx.Err()
}

func (c client) DeleteRecords(_ context.Context, before map[shell.Partition]core.Offset) error {
	w := c.l.w
	ps, before := slices.SortedFunc(maps.Keys(before), comparePartitions), maps.Clone(before)
	do := func() {
		for _, p := range ps {
			log := w.kafka.part(p)
			log.start = max(log.start, min(before[p], log.stable()))
			invariant.Sometimes("sim: records of a repartition topic are deleted")
		}
	}
	fate := w.faults.request(w)
	c.l.call("DeleteRecords", func() {
		if do(); fate == requestTwice {
			w.faults.strikes(w, "DeleteRecords comes twice", c.l.slot.instance)
			w.kafka.send("copy of DeleteRecords", do)
		}
	})
	return nil
}

func comparePartitions(a, b shell.Partition) int {
	switch {
	case a.Topic != b.Topic && a.Topic < b.Topic, a.Topic == b.Topic && a.ID < b.ID:
		return -1
	case a == b:
		return 0
	}
	return 1
}

func (c client) NewFetcher(cfg shell.FetchConfig) shell.Fetcher {
	f := &fetcher{l: c.l, cfg: cfg}
	if !c.l.dead {
		c.l.fetchers = append(c.l.fetchers, f)
	}
	return f
}

func (c client) NewProducer(cfg shell.ProducerConfig) shell.Producer {
	return &producer{l: c.l, name: cfg.TransactionalID}
}

func (c client) Join(_ context.Context, cfg shell.GroupConfig) (shell.Group, error) {
	m := &member{l: c.l, cfg: cfg}
	c.l.call("Join "+topicsOf(cfg.Sources), func() {
		c.l.w.kafka.group.join(m)
		c.l.member = m
	})
	return m, nil
}

func (c client) Close() error { return nil }
