package core

import (
	"bytes"
	"fmt"
)

// mutationCheck finds user functions that change a value inside a row: rows stay
// decoded in the overlay, so such a change would be state that nobody wrote. It
// encodes a row when a record first meets it, and again after each user function of
// that record. It costs an encoding per row and function: for tests, and to look for
// a suspect.
type mutationCheck[K comparable, V any] struct {
	t       *Table[K, V]
	touched []int32 // cells that the record in hand has met
	before  [][]byte
}

func newMutationCheck[K comparable, V any](t *Table[K, V]) *mutationCheck[K, V] {
	return &mutationCheck[K, V]{t: t}
}

func (m *mutationCheck[K, V]) touch(i int32) {
	for _, j := range m.touched {
		if i == j {
			return
		}
	}
	m.touched = append(m.touched, i)
	m.before = append(m.before, m.encode(i))
}

// wrote takes the new value of a row as the one that must not change from now on.
func (m *mutationCheck[K, V]) wrote(i int32) {
	for n, j := range m.touched {
		if i == j {
			m.before[n] = m.encode(i)
		}
	}
}

func (m *mutationCheck[K, V]) encode(i int32) []byte {
	if c := &m.t.cells[i]; c.ok {
		if b, err := m.t.vc.Append([]byte{}, c.val); err == nil {
			return b
		}
	}
	return nil
}

func (t *Table[K, V]) verify(tx *Tx, n NodeID) {
	if t.check == nil {
		return
	}
	for j, i := range t.check.touched {
		if now := t.check.encode(i); !bytes.Equal(now, t.check.before[j]) {
			tx.fail(n, fmt.Errorf("%w: row %v of table %s was %q and is %q: return a new value instead",
				ErrMutated, t.cells[i].key, tx.t.nodes[t.node].name, t.check.before[j], now))
			return
		}
	}
}

// forget ends the check of one record.
func (t *Table[K, V]) forget() {
	if t.check != nil {
		t.check.touched, t.check.before = t.check.touched[:0], t.check.before[:0]
	}
}
