package statestore

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed-81380e12/limpet/core"
)

// Scan merges the active rows, the frozen ones and those on disk. The tables in memory
// have no order: their rows within the bounds are sorted for the call. That suits
// queries and tools; an operator that scans for every record keeps an index of its own.
func (s *pebbleStore) Scan(table core.TableID, lo, hi []byte, f func(key, value []byte, at core.Time) bool) (err error) {
	if s.closed {
		return fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return nil
	}
	t := s.tables[table]
	within := func(r row) bool {
		k := r.key()
		return bytes.Compare(k, lo) >= 0 && (hi == nil || bytes.Compare(k, hi) < 0)
	}
	if s.db.cfg.plant.diskScan {
		within = func(row) bool { return false }
	}
	s.runs[0] = t.active.sorted(s.runs[0], within)
	s.runs[1] = t.frozen.sorted(s.runs[1], within)
	o := &pebble.IterOptions{LowerBound: append(bytes.Clone(t.prefix), lo...), UpperBound: after(t.prefix)}
	if hi != nil {
		o.UpperBound = append(bytes.Clone(t.prefix), hi...)
	}
	it, err := s.db.pdb.NewIter(o)
	if err != nil {
		return s.wrap(err)
	}
	defer func() {
		if err2 := it.Close(); err == nil {
			err = s.wrap(err2)
		}
	}()
	m := merged{
		runs: [2]run{{t.active, s.runs[0]}, {t.frozen, s.runs[1]}},
		it:   it, strip: len(t.prefix),
	}
	for it.First(); ; {
		key, r := m.next()
		if key == nil {
			return s.wrap(it.Error())
		}
		var value []byte
		var at core.Time
		if r != nil {
			if r.absent() {
				continue
			}
			value, at = r.read()
		} else if value, at, err = m.disk(); err != nil {
			return s.wrap(fmt.Errorf("%w (table %q, key %x)", err, s.specs[table].Name, key))
		}
		if !f(key, value, at) {
			return nil
		}
	}
}

// run is a sorted run of a table's rows.
type run struct {
	t    *table
	keys []sortKey
}

func (r *run) head() row {
	if len(r.keys) == 0 {
		return nil
	}
	return r.t.at(r.keys[0].ref)
}

// merged walks two runs and an iterator; of equal keys the first of them counts.
type merged struct {
	runs   [2]run
	it     *pebble.Iterator
	strip  int  // bytes of the iterator's keys before the row's
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
	if m.it.Valid() {
		k := m.it.Key()[m.strip:]
		c := -1
		if best != nil {
			c = bytes.Compare(k, key)
		}
		if c < 0 {
			m.behind = true
			return k[:len(k):len(k)], nil
		}
		m.behind = c == 0 // hidden: pass it
	}
	for i := range m.runs {
		if r := m.runs[i].head(); r != nil && bytes.Equal(r.key(), key) {
			m.runs[i].keys = m.runs[i].keys[1:]
		}
	}
	return key, best
}

// disk reads the row under the iterator.
func (m *merged) disk() ([]byte, core.Time, error) {
	b, err := m.it.ValueAndErr()
	if err != nil {
		return nil, 0, err
	}
	return parseRow(b)
}
