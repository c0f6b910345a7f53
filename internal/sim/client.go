package sim

import (
	"context"
	"errors"
	"fmt"
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
	ps := slices.SortedFunc(maps.Keys(before), comparePartitions)
	c.l.call("DeleteRecords", func() {
		for _, p := range ps {
			log := c.l.w.kafka.part(p)
			log.start = max(log.start, min(before[p], log.stable()))
			invariant.Sometimes("sim: records of a repartition topic are deleted")
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

// producer is shell's Producer. What goes wrong with its requests, the world decides.
type producer struct {
	l      *life
	name   string
	id     *txnID
	epoch  int
	open   bool
	broken bool // after an error: Abort or Open come next
	unsure bool // a batch of ours may come in late
}

var (
	errUse     = errors.New("sim: the producer is used in the wrong order")
	errRefused = errors.New("sim: message too large")
)

func (p *producer) Open(context.Context) error {
	p.open = false
	p.l.call("InitProducerId", func() {
		p.id = p.l.w.kafka.txnID(p.name)
		p.epoch = p.l.w.kafka.initProducer(p.id)
	})
	p.open, p.broken, p.unsure = true, false, false
	return nil
}

// fenced reports whether the id is somebody else's by now.
func (p *producer) fenced() bool {
	return p.epoch != p.id.epoch && !p.l.w.bug("the broker does not fence old epochs")
}

// fail breaks the transaction.
func (p *producer) fail(err error) error {
	p.broken = true
	return err
}

func (p *producer) usable(what string) error {
	if p.l.dead {
		return context.Canceled
	}
	if !p.open || p.broken {
		p.l.w.failf(checkPorts, "%w: %s", errUse, what)
		return errUse
	}
	return nil
}

func (p *producer) Produce(ctx context.Context, batches []*shell.ProduceBatch) (err error) {
	if err := p.usable("Produce"); err != nil {
		return err
	}
	w := p.l.w
	// Copies: a late batch must be what was sent.
	bs := make([]*shell.ProduceBatch, len(batches))
	for i, b := range batches {
		bs[i] = &shell.ProduceBatch{Partition: b.Partition, Records: cloneRecords(b.Records)}
	}
	// In any order, but batches of the same partition in theirs.
	order := w.rng.Perm(len(bs))
	for i := range order {
		for j := i + 1; j < len(order); j++ {
			if bs[order[i]].Partition == bs[order[j]].Partition && order[i] > order[j] {
				order[i], order[j] = order[j], order[i]
			}
		}
	}
	step := 1
	if w.set.coarse {
		step = max(1, len(bs))
	}
	for len(order) > 0 && err == nil {
		now := order[:min(step, len(order))]
		order = order[len(now):]
		fate := w.faults.request(w)
		again := true
		for again && !p.l.dead {
			p.l.call("Produce", func() {
				again = false
				switch {
				case p.fenced():
					err = shell.ErrFenced
				case ctx.Err() != nil:
					err, p.unsure = ctx.Err(), true
				case fate == requestLost:
					w.faults.strikes(w, "a produce is lost", p.name)
					err = shell.ErrAborted
				case w.kafka.refused(bs, now) != nil:
					err = w.kafka.refused(bs, now)
				case fate == requestLate:
					w.faults.strikes(w, "a produce is late", p.name)
					err = shell.ErrAborted
					p.unsure = true
					epoch := p.epoch
					w.kafka.send("Produce of "+p.name, func() { p.append(epoch, bs, now) })
				case fate == requestRefused:
					w.faults.strikes(w, "a produce is refused", p.name)
					err = errRefused
				case fate == answerLost:
					w.faults.strikes(w, "the answer to a produce is lost", p.name)
					p.unsure = true
					p.append(p.epoch, bs, now)
					err = shell.ErrAborted
				default:
					again = !p.append(p.epoch, bs, now)
				}
			})
			if again {
				w.wait(func() bool { return p.id.cur == nil || p.fenced() || ctx.Err() != nil })
			}
		}
	}
	if p.l.dead {
		return context.Canceled
	}
	if err != nil {
		return p.fail(err)
	}
	for i, b := range bs {
		batches[i].End = b.End
	}
	return nil
}

// append is the brokers' part: AddPartitionsToTxn and Produce. It reports false where the
// transaction before has not ended yet.
func (p *producer) append(epoch int, bs []*shell.ProduceBatch, which []int) bool {
	k := p.l.w.kafka
	if epoch != p.id.epoch && !p.l.w.bug("the broker does not fence old epochs") {
		invariant.Sometimes("sim: a late batch is rejected")
		return true
	}
	t := k.begin(p.id)
	if t == nil {
		return false
	}
	t.commits = p.l.sealed
	for _, i := range which {
		log := k.part(bs[i].Partition)
		t.append(log, bs[i].Records)
		bs[i].End = log.end()
		k.w.note("append", log.Topic, int64(log.ID), int64(log.end()))
	}
	return true
}

func cloneRecords(rs []core.RawRecord) []core.RawRecord {
	c := make([]core.RawRecord, len(rs))
	for i, r := range rs {
		c[i] = core.RawRecord{Key: slices.Clone(r.Key), Value: slices.Clone(r.Value), Headers: slices.Clone(r.Headers), Time: r.Time}
	}
	return c
}

func (p *producer) SendOffsets(ctx context.Context, g shell.Group, offsets []shell.GroupOffset) (err error) {
	if err := p.usable("SendOffsets"); err != nil {
		return err
	}
	w, m := p.l.w, g.(*member)
	os := slices.Clone(offsets)
	if len(os) == 0 {
		return nil
	}
	fate := w.faults.request(w)
	ahead := w.chance(2) // AddOffsetsToTxn was sent before: only the group looks at this request
	for again := true; again && !p.l.dead; {
		seat, gen := m.seat, m.gen // what the request says
		lost, ok := m.missing(os)
		if err := ctx.Err(); err != nil {
			return p.fail(err)
		}
		p.l.call("TxnOffsetCommit", func() {
			again = false
			grp := w.kafka.group
			switch {
			case p.fenced() && (!ahead || seat != nil && !seat.out):
				err = shell.ErrFenced
				invariant.Sometimes("sim: fenced at the offsets")
			case ok:
				err = fmt.Errorf("%w: %v is not this member's", shell.ErrLost, lost)
				w.note("not held", lost.String(), int64(p.l.id), 0)
				m.rejoin()
				invariant.Sometimes("sim: offsets of a task that is lost")
			case seat == nil || seat.out:
				err = shell.ErrLost
				m.rejoin()
				invariant.Sometimes("sim: the membership is lost at the offsets")
			case gen != grp.gen:
				invariant.Sometimes("sim: an illegal generation is waited out")
				again = true
			case fate == requestLost:
				w.faults.strikes(w, "offsets are lost", p.name)
				err = shell.ErrAborted
			case fate == answerLost:
				w.faults.strikes(w, "the answer to offsets is lost", p.name)
				p.offsets(os)
				err = shell.ErrAborted
			default:
				again = !p.offsets(os)
			}
		})
		if again {
			w.wait(func() bool {
				return ctx.Err() != nil || p.fenced() || m.seat == nil || m.seat.out || m.gen == w.kafka.group.gen && (p.id.cur == nil || p.id.cur.state == txnOngoing)
			})
		}
	}
	if p.l.dead {
		return context.Canceled
	}
	if err != nil {
		return p.fail(err)
	}
	return nil
}

func (p *producer) offsets(os []shell.GroupOffset) bool {
	t := p.l.w.kafka.begin(p.id)
	if t == nil {
		return false
	}
	t.commits = p.l.sealed
	t.offsets = append(t.offsets, os...)
	return true
}

func (p *producer) End(context.Context) (err error) {
	if err := p.usable("End"); err != nil {
		return err
	}
	w := p.l.w
	fate := w.faults.request(w)
	p.l.call("EndTxn", func() {
		switch {
		case p.fenced():
			invariant.Sometimes("sim: fenced inside EndTxn")
			err = shell.ErrFenced
		case fate == requestLost:
			invariant.Sometimes("sim: EndTxn is lost")
			w.faults.strikes(w, "EndTxn is lost", p.name)
			err = shell.ErrUnknown
		case fate == answerLost:
			invariant.Sometimes("sim: the answer to EndTxn is lost")
			w.faults.strikes(w, "the answer to EndTxn is lost", p.name)
			p.end(p.epoch, true)
			err = shell.ErrUnknown
		case fate == requestLate, fate == requestRefused:
			invariant.Sometimes("sim: EndTxn comes in late")
			w.faults.strikes(w, "EndTxn is late", p.name)
			epoch := p.epoch
			w.kafka.send("EndTxn of "+p.name, func() { p.end(epoch, true) })
			err = shell.ErrUnknown
		default:
			p.end(p.epoch, true)
		}
	})
	if p.l.dead {
		return context.Canceled
	}
	if err != nil {
		return p.fail(err)
	}
	return nil
}

// end is the coordinator's part of EndTxn.
func (p *producer) end(epoch int, commit bool) {
	if t := p.id.cur; epoch == p.id.epoch && t != nil && t.state == txnOngoing {
		p.l.w.kafka.decide(t, commit)
	}
}

func (p *producer) Abort(ctx context.Context) (err error) {
	if p.l.dead {
		return context.Canceled
	}
	if p.unsure && !p.l.w.bug("an abort keeps the epoch though a batch may come late") {
		return p.Open(ctx) // a new epoch rejects the late batch
	}
	p.l.call("EndTxn abort", func() {
		if p.fenced() {
			err = shell.ErrFenced
			return
		}
		p.end(p.epoch, false)
	})
	if p.l.dead {
		return context.Canceled
	}
	if err != nil {
		return p.fail(err)
	}
	p.broken = false
	return nil
}

func (p *producer) Close() error { return nil }
