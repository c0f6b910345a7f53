package core

import (
	"fmt"
)

// View reads one table as of the last commit. It is the one place where the core calls
// out; package statestore implements it. A View answers the same until the next
// Advance. An error stops the task.
type View interface {
	// Get appends the row's value to buf, or reports ok = false.
	Get(key, buf []byte) (value []byte, at Time, ok bool, err error)
	// Scan calls f with the rows of lo <= key < hi in key order, until f returns false; a
	// nil bound is none. Key and value are valid during the call only, and f must not use
	// the view. A scan with a bound costs what it finds; one of all rows may sort them.
	Scan(lo, hi []byte, f func(key, value []byte, at Time) bool) error
}

// Table is typed state: an overlay of decoded rows on a View of the committed ones.
//
// A row is decoded once and stays in the overlay after its commit, as a cache with a
// bound in bytes. What was written since the last Ready is dirty; what Ready has
// sealed waits for Advance or Abort. Abort drops both kinds, and the View below still
// has what was committed, so nothing needs to be undone.
type Table[K comparable, V any] struct {
	task *Task
	id   TableID
	node NodeID
	view View
	kc   Codec[K]
	vc   Codec[V]

	index  index[K]
	cells  []cell[K, V]
	free   []int32
	dirty  []int32  // in first-write order: effects come in this order, never in map order
	raws   [][]byte // of the dirty rows, where the bytes that a row came as are known
	sealed []int32
	bytes  int   // encoded size of all cells, with cellOverhead
	hand   int32 // where the last eviction stopped (CLOCK)
	kb, vb []byte
	guess  guess[K]
	check  *mutationCheck[K, V] // nil unless the task checks for mutations

	// Of tables whose rows live shortly: a deleted row is not kept as one that is known to
	// be missing.
	short    bool
	aborted  func()    // called by abort, if not nil
	advanced func()    // called by advance, if not nil
	evicted  func(K)   // called for each row that leaves the overlay and stays in the view, if not nil
	expiry   expiry[K] // of tables whose rows expire; nil: they stay

	// Of tables that are scanned, see scan.go: what was written since the last Ready, and what
	// Ready has sealed.
	fresh, older *fresh
	versions     bool // a row is one version of several
	scan         *scan[K, V]

	undo  []undo[K, V] // see takeBack
	first int          // where the dirty rows of the record in hand begin
}

type cell[K comparable, V any] struct {
	key   K
	val   V
	at    Time
	size  int32
	nth   int32 // in dirty
	ok    bool  // the row exists
	below bool  // the row exists in the view, or in the sealed generation
	last  bool  // of a deleted version: it said that there is no row
	state cellState
}

type cellState uint8

const (
	cellDirty   cellState = 1 << iota // written since the last Ready
	cellSealed                        // written in the generation that is being committed
	cellTouched                       // used since the eviction hand last passed
	cellFree
)

// cellOverhead is about what a cell costs beside its bytes.
const cellOverhead = 96

// NewTable adds the next table to t. name is the table's, as the topology says it.
func NewTable[K comparable, V any](t *Task, name string, kc Codec[K], vc Codec[V]) *Table[K, V] {
	id := TableID(len(t.tables) - len(t.globals))
	tb := newTable(t, id, name, t.cfg.View(id), kc, vc)
	t.tables = append(t.tables, tb)
	return tb
}

// noTable stands for the id of a table that is not written.
const noTable TableID = -1

func newTable[K comparable, V any](t *Task, id TableID, name string, view View, kc Codec[K], vc Codec[V]) *Table[K, V] {
	tb := &Table[K, V]{
		task: t, id: id, node: t.Node(name, ""), view: view,
		kc: kc, vc: vc, index: newIndex[K](),
		kb: make([]byte, 0, 64), vb: make([]byte, 0, 256), // never nil: that would be null
	}
	t.nodes[tb.node].table = true
	if t.cfg.CheckMutation {
		tb.check = newMutationCheck(tb)
	}
	return tb
}

// find returns the place of k's cell, which it reads from the view where the overlay
// does not have it. It returns -1 when the task has failed.
func (t *Table[K, V]) find(tx *Tx, k K) int32 { return t.findSince(tx, k, false) }

// findSince is find. young says that the view has no row of k.
func (t *Table[K, V]) findSince(tx *Tx, k K, young bool) int32 {
	if tx.learns {
		t.learn(tx, k)
	}
	i, ok := t.at(k)
	if !ok {
		if i = t.load(tx, k, young); i < 0 {
			return i
		}
	}
	t.cells[i].state |= cellTouched
	if t.check != nil {
		t.check.touch(i)
	}
	return i
}

func (t *Table[K, V]) load(tx *Tx, k K, young bool) int32 {
	var err error
	tx.node = t.node
	if t.kb, err = t.kc.Append(t.kb[:0], k); err != nil {
		tx.fail(t.node, fmt.Errorf("%w: key %v: %w", ErrEncode, k, err))
		return -1
	}
	var b []byte
	var at Time
	ok := false
	if !young {
		if b, at, ok, err = t.view.Get(t.kb, t.vb[:0]); err != nil && !planted("a row that cannot be read is none") {
			tx.fail(t.node, fmt.Errorf("%w: key %v: %w", ErrState, k, err))
			return -1
		}
	}
	c := cell[K, V]{key: k, at: at, ok: ok, below: ok, size: int32(len(t.kb) + len(b) + cellOverhead)}
	if ok {
		t.vb = b
		if c.val, err = t.vc.Decode(b); err != nil {
			tx.fail(t.node, fmt.Errorf("%w: stored row %v: %w", ErrDecode, k, err))
			return -1
		}
	}
	t.bytes += int(c.size)
	i := int32(len(t.cells))
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
		t.cells[i] = c
	} else {
		t.cells = append(t.cells, c)
	}
	t.link(i)
	return i
}

// Get returns the row of k and its timestamp. After a failed read it reports ok = false
// and the task has failed.
func (t *Table[K, V]) Get(tx *Tx, k K) (v V, at Time, ok bool) {
	i := t.find(tx, k)
	if i < 0 {
		return v, 0, false
	}
	c := &t.cells[i]
	return c.val, c.at, c.ok
}

// put sets the row at i, which find returned.
func (t *Table[K, V]) put(i int32, v V, at Time) {
	if t.task.writes++; t.task.careful {
		t.save(i)
	}
	c := &t.cells[i]
	if t.expiry != nil && (!c.ok || at < c.at) {
		t.expiry.dated(c.key, at)
	}
	c.val, c.at, c.ok, c.last = v, at, true, false
	t.mark(i)
}

// keepRaw says which bytes the row at i, which was just put, was decoded from. Store and
// changelog get these very bytes, so a row is the same whether it was stepped or
// restored from its topic.
func (t *Table[K, V]) keepRaw(i int32, raw []byte) { t.raws[t.cells[i].nth] = raw }

// delete removes the row at i.
func (t *Table[K, V]) delete(i int32, at Time) {
	if t.task.writes++; t.task.careful {
		t.save(i)
	}
	var zero V
	c := &t.cells[i]
	c.val, c.at, c.ok = zero, at, false
	t.mark(i)
}

// expire removes the row of k, which is there, without a look at it where only the view has it. The
// record in hand cannot be taken back alone: it is for tables with an index beside them.
func (t *Table[K, V]) expire(tx *Tx, k K, at Time) {
	i, ok := t.at(k)
	if !ok {
		if i = t.load(tx, k, true); i < 0 {
			return
		}
		t.cells[i].below = true
	} else if !t.cells[i].ok {
		return
	}
	t.delete(i, at)
}

func (t *Table[K, V]) mark(i int32) {
	if c := &t.cells[i]; c.state&cellDirty == 0 {
		c.state |= cellDirty
		c.nth = int32(len(t.dirty))
		t.dirty, t.raws = append(t.dirty, i), append(t.raws, nil)
		if t.fresh != nil {
			t.note(i)
		}
	} else {
		t.raws[c.nth] = nil
	}
	if t.check != nil {
		t.check.wrote(i)
	}
}

// again writes the row at i once more, behind all that was written so far.
func (t *Table[K, V]) again(i int32) {
	c := &t.cells[i]
	if c.state&cellDirty == 0 {
		t.mark(i)
		return
	}
	raw := t.raws[c.nth]
	t.dirty[c.nth], t.raws[c.nth] = -1, nil
	c.nth = int32(len(t.dirty))
	t.dirty, t.raws = append(t.dirty, i), append(t.raws, raw)
}

// overlay is what a Task needs of its tables, whatever their types.
type overlay interface {
	seal(*Tx, *Commit)
	advance(budget int)
	abort()
	verify(*Tx, NodeID)
	forget()
	begin()
	takeBack()
}

// seal drains the dirty rows into c.
func (t *Table[K, V]) seal(tx *Tx, c *Commit) {
	tx.node = t.node
	for n, i := range t.dirty {
		if n%ahead == 0 {
			t.guess.touched ^= t.touch(t.dirty[n:min(n+ahead, len(t.dirty))])
		}
		if i < 0 { // it comes later
			continue
		}
		e := &t.cells[i]
		if !e.ok && !e.below && !e.last { // it came and went within the generation
			e.state = e.state&^cellDirty | cellSealed
			continue
		}
		e.below = e.ok
		w := Write{Table: t.id, Time: e.at}
		if t.versions {
			if w.Version = OneVersion; e.last {
				w.Version = LastWord
			}
		}
		var err error
		if w.Key, err = encode(&c.arena, t.kc, e.key); err != nil {
			tx.fail(t.node, fmt.Errorf("%w: key %v: %w", ErrEncode, e.key, err))
			return
		}
		if raw := t.raws[n]; raw != nil {
			w.Value = c.arena.keep(append(c.arena.tail(), raw...))
		} else if e.ok {
			if w.Value, err = encode(&c.arena, t.vc, e.val); err != nil {
				tx.fail(t.node, fmt.Errorf("%w: row %v: %w", ErrEncode, e.key, err))
				return
			}
			if w.Value == nil { // it would be deleted by the commit, and not before
				tx.fail(t.node, fmt.Errorf("%w: row %v: its codec writes null, which deletes it", ErrEncode, e.key))
				return
			}
		}
		size := int32(len(w.Key) + len(w.Value) + cellOverhead)
		t.bytes += int(size - e.size)
		e.size = size
		e.state = e.state&^cellDirty | cellSealed
		c.Writes = append(c.Writes, w)
	}
	t.dirty, t.sealed = t.sealed[:0], t.dirty
	t.fresh, t.older = t.older, t.fresh
	clear(t.raws) // they would hold on to fetched batches
	t.raws = t.raws[:0]
}

// advance makes the sealed rows clean ones and keeps the cache within budget.
func (t *Table[K, V]) advance(budget int) {
	for _, i := range t.sealed {
		if i < 0 {
			continue
		}
		c := &t.cells[i]
		if c.state &^= cellSealed; t.short && !c.ok && c.state&(cellDirty|cellFree) == 0 {
			t.drop(i)
		}
	}
	t.sealed = t.sealed[:0]
	if t.older != nil {
		t.older.clear()
	}
	if t.bytes > budget {
		if t.evict(budget - budget/8); t.bytes > budget {
			t.task.overfull = true
			t.task.sometimes("core: rows that are not committed take more than the cache")
		}
	}
	if t.advanced != nil {
		t.advanced()
	}
}

// evict passes the hand over the cells, at most twice, until bytes is reached: what
// was not used since the last pass goes. Uncommitted rows stay.
func (t *Table[K, V]) evict(bytes int) {
	for n := 2 * len(t.cells); n > 0 && t.bytes > bytes; n-- {
		if t.hand++; int(t.hand) >= len(t.cells) {
			t.hand = 0
		}
		switch c := &t.cells[t.hand]; {
		case c.state&(cellDirty|cellSealed|cellFree) != 0 && (c.state&cellFree != 0 || !planted("uncommitted rows are evicted")):
		case c.state&cellTouched != 0 && bytes > 0:
			c.state &^= cellTouched
		default:
			if t.evicted != nil && c.ok {
				t.evicted(c.key)
			}
			t.drop(t.hand)
		}
	}
}

func (t *Table[K, V]) drop(i int32) {
	c := &t.cells[i]
	t.bytes -= int(c.size)
	t.unlink(i)
	*c = cell[K, V]{state: cellFree}
	t.free = append(t.free, i)
}

// abort drops every row that is not committed; the view has the one below.
func (t *Table[K, V]) abort() {
	if planted("an abort keeps the sealed rows") {
		t.sealed = t.sealed[:0]
	}
	for _, list := range [2][]int32{t.dirty, t.sealed} {
		for _, i := range list {
			if i >= 0 && t.cells[i].state&cellFree == 0 {
				t.drop(i)
			}
		}
	}
	clear(t.raws)
	t.dirty, t.sealed, t.raws = t.dirty[:0], t.sealed[:0], t.raws[:0]
	if t.older != nil {
		t.fresh.clear()
		t.older.clear()
	}
	t.forget()
	if t.aborted != nil {
		t.aborted()
	}
}
