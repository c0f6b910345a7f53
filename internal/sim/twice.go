package sim

import (
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
)

// Requests that are handled twice. A client whose connection breaks before an answer comes sends its request again on
// another one, while the first copy may lie in the broker still: it is handled right before the second one, or at any
// time later, whatever the producer does by then. What keeps that from doing harm: batches have sequences; offsets
// and ends of transactions have an epoch, so the producer takes a new one behind a transaction in which a request was sent
// again (shell/kafka: renew).

// sequences is what a partition knows of a producer: its last batches.
type sequences struct {
	epoch int
	last  []sequenced
}

// sequenced is a batch that is there: the sequences of its records, and where it ends.
type sequenced struct {
	first, n int
	end      core.Offset
}

// sequencesKept is how many batches of a producer a broker remembers, in each partition.
const sequencesKept = 5

// has reports whether a batch is there already, and where it ends.
func (p *partition) has(id *txnID, epoch, first, n int) (end core.Offset, ok bool) {
	s := p.producers[id]
	if s == nil || s.epoch != epoch {
		return 0, false
	}
	i := slices.IndexFunc(s.last, func(b sequenced) bool { return b.first == first && b.n == n })
	if i < 0 {
		return 0, false
	}
	return s.last[i].end, true
}

// remember notes the batch that was appended last.
func (p *partition) remember(id *txnID, epoch, first, n int) {
	if p.producers == nil {
		p.producers = map[*txnID]*sequences{}
	}
	s := p.producers[id]
	if s == nil || s.epoch != epoch {
		s = &sequences{epoch: epoch}
		p.producers[id] = s
	}
	s.last = append(s.last, sequenced{first, n, p.end()})
	s.last = s.last[max(0, len(s.last)-sequencesKept):]
}

// sentAgain is called where a request was handled and its answer does not come, so that the client sends it again. It reports
// true where that one is still to be handled; else it was the second one, and the first comes in later, often within the next transaction, or
// when that is worst, unless when is nil.
func (p *producer) sentAgain(what string, when func() bool, late func()) (again bool) {
	w := p.l.w
	w.faults.strikes(w, what+" comes twice", p.name)
	if p.copies = true; w.chance(2) {
		if w.chance(2) { // a request may be waited for longer than its transaction lives
			p.repeat = w.now + core.Time(w.rng.IntN(int(2*w.set.txnTimeout/time.Millisecond)))
		}
		return true
	}
	within := 2 * w.set.txnTimeout
	if !w.chance(3) {
		within = 3 * w.set.commitEvery
	}
	w.kafka.sendWithin(within, "copy of "+what+" of "+p.name, late)
	if when != nil && !w.chance(3) {
		m := &w.kafka.late[len(w.kafka.late)-1]
		m.at, m.when, m.until = w.now, when, m.at.Add(2*w.set.txnTimeout)
	}
	return false
}

// call is one request, of which the one before may not have been answered.
func (p *producer) call(what string, do func()) bool {
	if w := p.l.w; w.now < p.repeat {
		w.wait(func() bool { return w.now >= p.repeat || !w.faults.on })
	}
	return p.l.call(what, do)
}

// initTwice is for an InitProducerId.
func (p *producer) initTwice() (again bool) {
	w := p.l.w
	return p.sentAgain("InitProducerId", nil, func() {
		w.spawn(nil, "copy of InitProducerId of "+p.name, func() {
			w.kafka.initProducer(p.id)
			invariant.Sometimes("sim: a copy of InitProducerId fences who has sent it")
		})
	})
}

// produceTwice is for a produce request, or for the AddPartitionsToTxn before it.
func (p *producer) produceTwice(bs []*shell.ProduceBatch, first, which []int) (again bool) {
	epoch, k := p.epoch, p.l.w.kafka
	if !p.l.w.chance(3) {
		ended := func() bool { return p.id.cur == nil }
		return p.sentAgain("AddPartitionsToTxn", ended, func() {
			if epoch != p.id.epoch {
				invariant.Sometimes("sim: a late copy of AddPartitionsToTxn is rejected")
				return
			}
			if p.id.cur == nil {
				invariant.Sometimes("sim: a late copy of AddPartitionsToTxn begins a transaction")
			}
			if t := k.begin(p.id); t != nil {
				for _, i := range which {
					if log := k.part(bs[i].Partition); !slices.Contains(t.parts, log) {
						t.parts = append(t.parts, log)
					}
				}
			}
		})
	}
	logs := make([]*partition, len(bs))
	for _, i := range which {
		logs[i] = k.part(bs[i].Partition)
	}
	return p.sentAgain("Produce", nil, func() {
		// What lies in a broker is gone with the log that it was for: where that was made again meanwhile, none comes in.
		still := slices.DeleteFunc(slices.Clone(which), func(i int) bool { return k.part(bs[i].Partition) != logs[i] })
		p.append(epoch, bs, first, still)
	})
}

// offsetsTwice is for a TxnOffsetCommit: of a member of a generation.
func (p *producer) offsetsTwice(os []shell.GroupOffset, seat *seat, gen int) (again bool) {
	epoch, w := p.epoch, p.l.w
	was := p.copies
	over := func() bool { return seat.out || gen != w.kafka.group.gen }
	own := p.id.cur
	when := func() bool { // behind newer ones
		t := p.id.cur
		return t != nil && t != own && t.state == txnOngoing && len(t.offsets) > 0
	}
	moves := w.chance(2) // the group's coordinator does, which broke the connection
	if moves {
		when = func() bool { return over() && p.id.cur == nil }
	}
	again = p.sentAgain("TxnOffsetCommit", when, func() {
		t := p.id.cur
		switch {
		case epoch != p.id.epoch:
			invariant.Sometimes("sim: a late copy of offsets is rejected")
		case over():
			invariant.Sometimes("sim: a late copy of offsets is rejected, as its generation is over")
		case t != nil && t.state == txnOngoing: // else the broker asks the coordinator, and rejects it
			t.offsets = append(t.offsets, os...)
		}
	})
	if moves && !again {
		w.kafka.group.dirty = true
	}
	if w.bug("a transaction keeps the epoch though offsets may come late") {
		p.copies = was
	}
	return again
}

// endTwice is for an EndTxn that commits.
func (p *producer) endTwice() (err error) {
	w, epoch, was := p.l.w, p.epoch, p.copies
	again, decided := true, false
	for again && !p.l.dead && err == nil {
		p.call("EndTxn", func() {
			switch {
			case p.fenced():
				err = shell.ErrFenced // also where the first one has committed
				return
			case decided: // Kafka answers CONCURRENT_TRANSACTIONS until all markers are there, and then as it did
				again = false
				return
			}
			t := p.id.cur
			p.end(epoch, true)
			decided = t != nil && t.state == txnCommitted
			again = p.sentAgain("EndTxn", nil, func() {
				if epoch != p.id.epoch {
					invariant.Sometimes("sim: a late copy of EndTxn is rejected")
				}
				p.end(epoch, true)
			})
			if !again && w.bug("a transaction keeps the epoch though EndTxn may come late") {
				p.copies = was
			}
		})
		if again {
			w.wait(func() bool { return p.id.cur == nil || p.fenced() })
		}
	}
	return err
}

// begin is called before the first request of a transaction.
func (p *producer) begin() error {
	if p.began || p.l.dead {
		return nil
	}
	if p.copies {
		if err := p.renew(); err != nil {
			return err
		}
	}
	p.began = true
	return nil
}

// renew opens the id anew, if it is still this producer's.
func (p *producer) renew() (err error) {
	k := p.l.w.kafka
	p.call("InitProducerId of "+p.name, func() {
		if t := p.id.cur; t != nil && t.state == txnOngoing && !p.fenced() { // begun by a late copy: Kafka fences whoever asks
			p.id.epoch++
			k.decide(t, false)
		}
		if p.fenced() {
			err = shell.ErrFenced
			return
		}
		p.epoch = k.initProducer(p.id)
	})
	if err == nil {
		p.opened()
	}
	return err
}

// sendWithin lets a request come in within a time.
func (k *kafka) sendWithin(d time.Duration, what string, do func()) {
	k.late = append(k.late, message{at: k.w.now + core.Time(k.w.rng.IntN(int(d/time.Millisecond))), what: what, do: do})
}
