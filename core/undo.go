package core

// undo is a row as it was before the record in hand changed it. It is noted from the first
// record on that failed behind changes (Task.careful): most tasks never meet one.
type undo[K comparable, V any] struct {
	i    int32
	cell cell[K, V]
	raw  []byte
}

// begin begins a record.
func (t *Table[K, V]) begin() {
	clear(t.undo)
	t.undo, t.first = t.undo[:0], len(t.dirty)
}

// save notes the row at i. Rows that have an index beside them cannot be taken back one by
// one: the index is made of what is committed.
func (t *Table[K, V]) save(i int32) {
	if t.aborted != nil || t.fresh != nil {
		t.task.hard = true
		return
	}
	u := undo[K, V]{i: i, cell: t.cells[i]}
	if u.cell.state&cellDirty != 0 {
		u.raw = t.raws[u.cell.nth]
	}
	t.undo = append(t.undo, u)
}

// takeBack makes the rows what they were before the record in hand.
func (t *Table[K, V]) takeBack() {
	for n := len(t.undo) - 1; n >= 0; n-- {
		u := &t.undo[n]
		if t.cells[u.i] = u.cell; u.cell.state&cellDirty != 0 {
			t.raws[u.cell.nth] = u.raw
		}
	}
	clear(t.raws[t.first:])
	t.dirty, t.raws = t.dirty[:t.first], t.raws[:t.first]
	t.begin()
}
