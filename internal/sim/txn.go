package sim

import (
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
)

// txnID is a transactional id, at its coordinator.
//
//	no transaction -> ongoing -> decided -> markers written -> no transaction
type txnID struct {
	name  string
	epoch int
	cur   *txn // ongoing, or decided and not finished
}

type txnState uint8

const (
	txnOngoing txnState = iota
	txnCommitted
	txnAborted
)

// txn is one transaction. When it is decided its records count, for whoever may read as
// far; its markers follow, one by one.
type txn struct {
	n       int
	id      *txnID
	epoch   int
	state   txnState
	began   core.Time
	parts   []*partition        // without a marker
	wrote   []*partition        // all, in order of their first record
	offsets []shell.GroupOffset // pending in the group
	commits []sealed            // what the worker says is in it
	feeder  bool                // it is input
	marksAt core.Time           // when its markers in partitions can be written
}

func (k *kafka) txnID(name string) *txnID {
	id := k.ids[name]
	if id == nil {
		id = &txnID{name: name}
		k.ids[name] = id
	}
	return id
}

// begin returns the ongoing transaction of an id, a new one if there is none; nil: the
// last one has not ended yet.
func (k *kafka) begin(id *txnID) *txn {
	if id.cur == nil {
		k.txns++
		id.cur = &txn{n: k.txns, id: id, epoch: id.epoch, began: k.w.now}
	}
	if id.cur.state != txnOngoing {
		return nil
	}
	return id.cur
}

func (t *txn) append(p *partition, rs []core.RawRecord) {
	if !slices.Contains(t.parts, p) {
		t.parts, t.wrote = append(t.parts, p), append(t.wrote, p)
	}
	for _, r := range rs {
		p.append(r, t)
	}
}

// decide ends a transaction: from now on it is committed, or not.
func (k *kafka) decide(t *txn, commit bool) {
	t.state = txnAborted
	if commit {
		t.state = txnCommitted
		if !t.feeder {
			k.w.check.committed(t)
		}
	}
	if k.w.faults.on && k.w.chance(8) {
		t.marksAt = k.w.now + core.Time(k.w.rng.IntN(100))
	}
	k.w.note("decide", t.id.name, int64(t.n), int64(t.state))
	k.deciding = append(k.deciding, t)
}

// marker writes the next marker of a transaction, to a partition or to the group.
func (k *kafka) marker(n int) {
	t := k.deciding[n]
	i := k.w.rng.IntN(len(t.parts) + 1)
	if k.w.now < t.marksAt && k.w.faults.on {
		i = len(t.parts) // only the group's can be written
	}
	switch {
	case i < len(t.parts):
		p := t.parts[i]
		t.parts = slices.Delete(slices.Clone(t.parts), i, i+1)
		p.mark(t)
		k.w.note("marker", p.Topic, int64(p.ID), int64(t.n))
	case len(t.offsets) > 0:
		k.applyOffsets(t)
	}
	if len(t.parts) == 0 && len(t.offsets) == 0 {
		t.id.cur = nil
		k.deciding = slices.Delete(k.deciding, n, n+1)
	}
}

func (k *kafka) applyOffsets(t *txn) {
	if t.state == txnCommitted {
		for _, o := range t.offsets {
			switch {
			case k.w.bug("the group forgets an offset") && k.w.chance(50):
				continue
			case k.w.bug("the group takes an offset for the one before it") && k.w.chance(50):
				o.Next = max(0, o.Next-1)
			}
			if was := k.offsets[o.Partition]; o.Next < was.Next {
				k.w.failf(checkGroupBack, "the group's offset of %v goes back from %d to %d", o.Partition, was.Next, o.Next)
			}
			k.offsets[o.Partition] = committedOffset{o, true}
		}
	}
	t.offsets = nil
	k.w.note("offsets", t.id.name, int64(t.n), int64(t.state))
}

// pending reports whether a transaction has offsets for one of the partitions.
func (k *kafka) pending(ps []shell.Partition) bool {
	has := func(t *txn) bool {
		return slices.ContainsFunc(t.offsets, func(o shell.GroupOffset) bool { return slices.Contains(ps, o.Partition) })
	}
	for _, id := range k.sortedIDs() {
		if id.cur != nil && has(id.cur) {
			return true
		}
	}
	return false
}

func (k *kafka) sortedIDs() []*txnID {
	ids := make([]*txnID, 0, len(k.ids))
	for _, id := range k.ids {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b *txnID) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return ids
}

// initProducer opens an id: it fences whoever had it, aborts what is open, and returns
// the new epoch. It is called by a routine.
func (k *kafka) initProducer(id *txnID) int {
	w := k.w
	if id.cur != nil && id.cur.state == txnOngoing {
		invariant.Sometimes("sim: a transaction left open is aborted by whoever opens its id")
		id.epoch++
		k.decide(id.cur, false)
	}
	for id.cur != nil {
		w.wait(func() bool { return id.cur == nil })
		if id.cur != nil && id.cur.state == txnOngoing { // somebody else was faster
			id.epoch++
			k.decide(id.cur, false)
		}
	}
	id.epoch++
	w.note("initProducer", id.name, int64(id.epoch), 0)
	return id.epoch
}

// expire aborts transactions that have taken too long.
func (k *kafka) expire() {
	w := k.w
	if w.steps%16 != 0 {
		return
	}
	for _, id := range k.sortedIDs() {
		if t := id.cur; t != nil && t.state == txnOngoing && w.now.Sub(t.began) > w.set.txnTimeout {
			invariant.Sometimes("sim: a transaction expires")
			id.epoch++
			k.decide(t, false)
		}
	}
	k.group.expire()
}

// send lets a request come in later than its sender waits.
func (k *kafka) send(what string, do func()) { k.sendWithin(2*k.w.set.txnTimeout, what, do) }

func (k *kafka) message(n int) {
	m := k.late[n]
	k.late = slices.Delete(k.late, n, n+1)
	k.w.note("late", m.what, 0, 0)
	m.do()
}
