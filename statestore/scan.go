package statestore

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
)

// Scan merges the active rows, the frozen ones and those on disk. A scan of a part of a
// table has it keep its rows in memory in order from then on, so that each further one costs
// what it finds. A scan of all rows, which is for tools and queries, sorts them for the call.
func (s *pebbleStore) Scan(id core.TableID, lo, hi []byte, f func(key, value []byte, at core.Time) bool) (err error) {
	if s.closed {
		return fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return nil
	}
	t := s.tables[id]
	m := &s.scan
	m.strip, m.hi, m.prefix, m.behind = len(t.prefix), hi, t.prefix, false
	for i, in := range [2]*table{t.active, t.frozen} {
		r := &m.runs[i]
		*r = run{t: in, keys: r.keys[:0]}
		switch {
		case s.db.cfg.plant.diskScan || invariant.Bug("a scan leaves out what is not on disk"):
		case lo == nil && hi == nil && in.order == nil:
			s.runs[i] = in.sorted(s.runs[i], func(row) bool { return true })
			r.keys = s.runs[i]
		default:
			r.ordered, r.node, r.hi = true, in.inOrder().seek(lo), hi
		}
	}
	if m.it, err = s.scanner(); err != nil {
		return err
	}
	s.scanKey = append(append(s.scanKey[:0], t.prefix...), lo...)
	for m.it.SeekGE(s.scanKey); ; {
		key, r := m.next()
		if !m.it.Valid() { // what is in memory must not come in place of rows before it that cannot be read
			if err := m.it.Error(); err != nil {
				_ = s.endReads() // it would say the same
				return s.wrap(err)
			}
		}
		if key == nil {
			return nil
		}
		var value []byte
		var at core.Time
		if r != nil {
			if r.absent() {
				continue
			}
			value, at = r.read()
		} else if value, at, err = m.disk(); err != nil {
			return s.wrap(fmt.Errorf("%w (table %q, key %x)", err, s.specs[id].Name, key))
		}
		if !f(key, value, at) {
			return nil
		}
	}
}

// scanner returns the iterator of scans, which lives as long as that of Get.
func (s *pebbleStore) scanner() (*pebble.Iterator, error) {
	if s.scanIt == nil {
		it, err := s.db.pdb.NewIter(&pebble.IterOptions{LowerBound: taskPrefix(s.id), UpperBound: after(taskPrefix(s.id))})
		if err != nil {
			return nil, s.wrap(err)
		}
		s.scanIt = it
	}
	return s.scanIt, nil
}

// run walks some of a table's rows in the order of their keys: sorted for the call, or as the
// table keeps them.
type run struct {
	t       *table
	keys    []sortKey
	ordered bool
	node    uint32
	hi      []byte
}

func (r *run) head() row {
	switch {
	case !r.ordered:
		if len(r.keys) > 0 {
			return r.t.at(r.keys[0].ref)
		}
	case r.node != 0:
		if at := r.t.at(r.t.order.ref(r.node)); r.hi == nil || bytes.Compare(at.key(), r.hi) < 0 {
			return at
		}
	}
	return nil
}

func (r *run) pass() {
	if r.ordered {
		r.node = r.t.order.next(r.node)
	} else {
		r.keys = r.keys[1:]
	}
}

// merged walks two runs and an iterator; of equal keys the first of them counts.
type merged struct {
	runs   [2]run
	it     *pebble.Iterator
	prefix []byte // of the table's keys on disk
	strip  int    // its length
	hi     []byte
	behind bool // the iterator is still at the row that next returned
}

// next returns the next key and its row, which is nil when the iterator has it; a nil
// key is the end.
func (m *merged) next() ([]byte, row) {
	if m.behind {
		m.it.Next()
		m.behind = false
	}
	var key []byte
	var best row
	for i := range m.runs {
		if r := m.runs[i].head(); r != nil && (best == nil || bytes.Compare(r.key(), key) < 0) {
			best, key = r, r.key()
		}
	}
	if k := m.under(); k != nil {
		c := -1
		if best != nil {
			c = bytes.Compare(k, key)
		}
		if c < 0 {
			m.behind = true
			return k, nil
		}
		m.behind = c == 0 // hidden: pass it
	}
	for i := range m.runs {
		if r := m.runs[i].head(); r != nil && bytes.Equal(r.key(), key) {
			m.runs[i].pass()
		}
	}
	return key, best
}

// under is the key under the iterator, or nil where that is beyond the scan.
func (m *merged) under() []byte {
	if !m.it.Valid() || !bytes.HasPrefix(m.it.Key(), m.prefix) {
		return nil
	}
	k := m.it.Key()[m.strip:]
	if m.hi != nil && bytes.Compare(k, m.hi) >= 0 {
		return nil
	}
	return k[:len(k):len(k)]
}

// disk reads the row under the iterator.
func (m *merged) disk() ([]byte, core.Time, error) {
	b, err := m.it.ValueAndErr()
	if err != nil {
		return nil, 0, err
	}
	return parseRow(b)
}
