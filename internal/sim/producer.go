package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
)

// producer is shell's Producer. What goes wrong with its requests, the world decides.
type producer struct {
	l      *life
	name   string
	id     *txnID
	epoch  int
	open   bool
	broken bool                    // after an error: Abort or Open come next
	unsure bool                    // a batch of ours may come in late
	began  bool                    // the coordinator may know of a transaction
	copies bool                    // a request of the transaction was sent again: its first copy may come in later
	next   map[shell.Partition]int // sequences: of the record that is sent next
	repeat core.Time               // until then it waits for an answer that does not come
}

var (
	errUse     = errors.New("sim: the producer is used in the wrong order")
	errRefused = errors.New("sim: message too large")
)

func (p *producer) Open(context.Context) error {
	p.open = false
	w := p.l.w
	fate := w.faults.request(w)
	for again := true; again && !p.l.dead; {
		p.call("InitProducerId", func() {
			p.id = w.kafka.txnID(p.name)
			p.epoch = w.kafka.initProducer(p.id)
			again = fate == requestTwice && p.initTwice()
			fate = answered
		})
	}
	p.opened()
	return nil
}

// opened is when the producer has a new epoch: sequences count from 0.
func (p *producer) opened() {
	p.open, p.broken, p.unsure, p.began, p.copies = true, false, false, false, false
	p.next = map[shell.Partition]int{}
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
	if err := p.begin(); err != nil {
		return p.fail(err)
	}
	w := p.l.w
	// Copies: a late batch must be what was sent.
	bs, first := make([]*shell.ProduceBatch, len(batches)), make([]int, len(batches))
	for i, b := range batches {
		bs[i] = &shell.ProduceBatch{Partition: b.Partition, Records: cloneRecords(b.Records)}
		first[i] = p.next[b.Partition]
		p.next[b.Partition] += len(b.Records)
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
			p.call("Produce", func() {
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
					w.kafka.send("Produce of "+p.name, func() { p.append(epoch, bs, first, now) })
				case fate == requestRefused:
					w.faults.strikes(w, "a produce is refused", p.name)
					err = errRefused
				case fate == answerLost:
					w.faults.strikes(w, "the answer to a produce is lost", p.name)
					p.unsure = true
					p.append(p.epoch, bs, first, now)
					err = shell.ErrAborted
				default:
					if again = !p.append(p.epoch, bs, first, now); !again && fate == requestTwice {
						again, fate = p.produceTwice(bs, first, now), answered
					}
				}
			})
			if again {
				w.wait(func() bool {
					return p.id.cur == nil || p.id.cur.state == txnOngoing || p.fenced() || ctx.Err() != nil
				})
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

// append is the brokers' part: AddPartitionsToTxn and Produce, of batches with the sequences that their first records have.
// It reports false where the transaction before has not ended yet.
func (p *producer) append(epoch int, bs []*shell.ProduceBatch, first, which []int) bool {
	k := p.l.w.kafka
	if epoch != p.id.epoch && !p.l.w.bug("the broker does not fence old epochs") {
		invariant.Sometimes("sim: a late batch is rejected")
		return true
	}
	which = slices.DeleteFunc(slices.Clone(which), func(i int) bool {
		at, ok := k.part(bs[i].Partition).has(p.id, epoch, first[i], len(bs[i].Records))
		if ok {
			invariant.Sometimes("sim: a batch that is there is not written again")
			bs[i].End = at
		}
		return ok && !k.w.bug("a batch that comes twice is written twice")
	})
	if len(which) == 0 {
		return true
	}
	t := k.begin(p.id)
	if t == nil {
		return false
	}
	t.commits = p.l.sealed
	for _, i := range which {
		log := k.part(bs[i].Partition)
		k.w.deletion.forget(log.Partition, p.id, epoch, first[i], len(bs[i].Records))
		t.append(log, bs[i].Records)
		bs[i].End = log.end()
		log.remember(p.id, epoch, first[i], len(bs[i].Records))
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
	if err := p.begin(); err != nil {
		return p.fail(err)
	}
	fate := w.faults.request(w)
	ahead := w.chance(2) // AddOffsetsToTxn was sent before: only the group looks at this request
	if w.faults.on && w.chance(100) {
		p.late(ctx, m)
	}
	for again := true; again && !p.l.dead; {
		seat, gen := m.seat, m.gen // what the request says
		lost, ok := m.missing(os)
		if err := ctx.Err(); err != nil {
			return p.fail(err)
		}
		p.call("TxnOffsetCommit", func() {
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
				if again = !p.offsets(os); !again && fate == requestTwice {
					again, fate = p.offsetsTwice(os, seat, gen), answered
				}
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

// late lets the offsets be sent when the membership has ended, and the member knows: the request was held up, as were the heartbeats.
func (p *producer) late(ctx context.Context, m *member) {
	w := p.l.w
	if m.seat == nil || m.seat.out {
		return
	}
	w.faults.strikes(w, "offsets are held up", p.name)
	was := m.seat
	w.kafka.group.drop(was)
	w.wait(func() bool { return m.seat != was || ctx.Err() != nil || p.fenced() || !w.faults.on })
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
	if fate == requestTwice {
		err = p.endTwice()
	} else {
		err = p.endOnce(fate)
	}
	if p.l.dead {
		return context.Canceled
	}
	if err != nil {
		return p.fail(err)
	}
	p.began = false
	return nil
}

func (p *producer) endOnce(fate fate) (err error) {
	w := p.l.w
	p.call("EndTxn", func() {
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
	return err
}

// end is the coordinator's part of EndTxn.
func (p *producer) end(epoch int, commit bool) {
	if t := p.id.cur; epoch == p.id.epoch && t != nil && t.state == txnOngoing {
		p.l.w.kafka.decide(t, commit)
	}
}

func (p *producer) Abort(context.Context) (err error) {
	if p.l.dead {
		return context.Canceled
	}
	p.call("EndTxn abort", func() {
		if p.fenced() {
			err = shell.ErrFenced
			return
		}
		p.end(p.epoch, false)
	})
	// A new epoch rejects the batches that may come late, and has sequences of its own.
	if err == nil && (p.broken || p.unsure) && !p.l.w.bug("an abort keeps the epoch though a batch may come late") {
		err = p.renew()
	}
	if p.l.dead {
		return context.Canceled
	}
	if err != nil {
		return p.fail(err)
	}
	p.broken, p.began = false, false
	return nil
}

func (p *producer) Close() error { return nil }
