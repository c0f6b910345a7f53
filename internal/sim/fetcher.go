package sim

import (
	"cmp"
	"context"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/lent"
	"github.com/seed-81380e12/limpet/shell"
)

// fetcher is a process's Fetcher. The world answers its fetches, node by node; what came
// in one answer comes from one Poll.
type fetcher struct {
	l      *life
	cfg    shell.FetchConfig
	parts  []*fetchPart // in the order in which they are asked for
	queue  [][]shell.Fetched
	closed bool
}

type fetchPart struct {
	shell.Partition
	log           *partition
	tag, priority int64
	next          core.Offset
	out           int // bytes delivered and not released
	known, caught bool
	failed        bool
}

func (f *fetcher) find(p shell.Partition) int {
	return slices.IndexFunc(f.parts, func(x *fetchPart) bool { return x.Partition == p })
}

func (f *fetcher) Add(p shell.Partition, from core.Offset, tag, priority int64) {
	if f.closed || f.l.dead {
		return
	}
	f.remove(p)
	log := f.l.w.kafka.part(p)
	if log == nil {
		f.l.w.failf(checkPorts, "fetch of %v, which does not exist", p)
		return
	}
	f.parts = append(f.parts, &fetchPart{Partition: p, log: log, tag: tag, priority: priority, next: from})
	slices.SortStableFunc(f.parts, func(a, b *fetchPart) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	})
}

func (f *fetcher) Remove(p shell.Partition) {
	if !f.closed && !f.l.dead {
		f.remove(p)
	}
}

func (f *fetcher) remove(p shell.Partition) {
	if i := f.find(p); i >= 0 {
		f.parts = slices.Delete(f.parts, i, i+1)
	}
	for i := range f.queue {
		f.queue[i] = slices.DeleteFunc(f.queue[i], func(q shell.Fetched) bool { return q.Partition == p })
	}
	f.queue = slices.DeleteFunc(f.queue, func(q []shell.Fetched) bool { return len(q) == 0 })
}

func (f *fetcher) Release(p shell.Partition, tag int64, bytes int) {
	if i := f.find(p); i >= 0 && f.parts[i].tag == tag {
		f.parts[i].out = max(0, f.parts[i].out-bytes)
	}
}

func (f *fetcher) Poll(ctx context.Context) ([]shell.Fetched, error) {
	for {
		if err := ctx.Err(); err != nil || f.l.dead {
			return nil, cmp.Or(err, context.Canceled)
		}
		if len(f.queue) > 0 {
			return f.pop(), nil
		}
		f.l.w.wait(func() bool { return len(f.queue) > 0 || ctx.Err() != nil })
	}
}

func (f *fetcher) pop() []shell.Fetched {
	q := f.queue[0]
	f.queue = f.queue[1:]
	return q
}

func (f *fetcher) Close() {
	f.closed, f.parts, f.queue = true, nil, nil
	f.l.fetchers = slices.DeleteFunc(f.l.fetchers, func(x *fetcher) bool { return x == f })
}

// full reports whether a partition is not asked for.
func (f *fetcher) full(x *fetchPart) bool { return x.out > 0 && x.out >= f.cfg.BufferBytes }

// hungry reports whether a node has something to say.
func (f *fetcher) hungry(node int) bool {
	if len(f.queue) > 3 || f.l.paused(f.l.w.now) && (f.l.asked || len(f.queue) > 0) {
		return false // who stands still asks once at most
	}
	for _, x := range f.parts {
		if x.log.node != node || x.failed {
			continue
		}
		if f.full(x) {
			if x.caught {
				return true
			}
			continue
		}
		if !x.known || x.next < x.log.stable() || x.next < x.log.start || !x.caught {
			return true
		}
	}
	return false
}

// fetch answers a fetch at one node.
func (f *fetcher) fetch(node int) {
	w := f.l.w
	var got []shell.Fetched
	limit := w.set.batch
	for _, x := range f.parts {
		if x.log.node != node || x.failed {
			continue
		}
		if f.full(x) {
			if x.caught {
				x.caught = false
				got = append(got, shell.Fetched{Partition: x.Partition, Tag: x.tag, Batch: core.Batch{Next: x.next}})
			}
			continue
		}
		// A leader that is new may not know yet how far its log is committed, and say that there
		// is no such offset.
		lies := w.faults.on && f == f.l.main && f.l.lied < 3 && w.chance(300)
		if lies {
			f.l.lied++
			w.faults.strikes(w, "no such offset", f.l.slot.instance)
		}
		if lies || x.next < x.log.start || x.next > x.log.end() {
			x.failed = true
			got = append(got, shell.Fetched{Partition: x.Partition, Tag: x.tag, Err: &shell.OffsetError{
				Partition: x.Partition, Want: x.next, Has: shell.Bounds{Start: x.log.start, End: x.log.end()},
			}})
			continue
		}
		rs, next, caught := x.log.read(x.next, 1+w.rng.IntN(limit))
		if w.bug("a fetch returns aborted records") {
			rs = x.log.raw(x.next, next)
		}
		if w.bug("a fetch reads beyond the last stable offset") {
			rs, next, caught = x.log.raw(x.next, x.log.end()), x.log.end(), true
		}
		if w.bug("a fetch forgets the last record") && len(rs) > 1 && w.chance(10) {
			rs = rs[:len(rs)-1]
		}
		if w.chance(6) { // a broker reads partition after partition, while others write
			for n := w.rng.IntN(3); n >= 0 && w.feeder.more(); n-- {
				w.feeder.feed()
			}
		}
		if len(rs) == 0 && x.known && caught == x.caught && next == x.next {
			continue
		}
		size := 0
		for i := range rs {
			size += rs[i].Size() + 10
		}
		x.next, x.known, x.caught = next, true, caught
		x.out += size
		w.note("fetch", x.Topic, int64(x.ID), int64(next))
		rs = lent.Copy(rs) // of the log's
		got = append(got, shell.Fetched{
			Partition: x.Partition, Tag: x.tag, Batch: core.Batch{Records: rs, Next: next, CaughtUp: caught}, Bytes: size,
			Reuse: func() { lent.Spoil(rs) },
		})
	}
	if len(got) > 0 {
		f.queue = append(f.queue, got)
	}
}

// raw are all records, aborted ones too: a bug to plant.
func (p *partition) raw(from, to core.Offset) (rs []core.RawRecord) {
	for o := max(from, p.start); o < to; o++ {
		if e := &p.log[o]; !e.control && !e.gone {
			rs = append(rs, e.rec)
		}
	}
	return rs
}
