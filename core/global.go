package core

// Global tables: every task sees all rows, whatever its partition. The caller reads the
// table's topic into a store that all tasks of the process share. What a task sees of it is
// an input like a record: the view stands still, and moves only between two calls of the
// task, when Move says so. Where it stood is among the commit's decisions.

// GlobalID indexes the global tables that a task reads.
type GlobalID int32

// GlobalMove says that the view of a global table shows another position from now on.
type GlobalMove struct {
	Global GlobalID
	// At is the position by partition of the table's topic: the next offset that the view
	// does not have yet.
	At []Offset
	// Changed are the keys of the rows that may have changed, as the view has them.
	Changed [][]byte
	All     bool // any row may have changed, whatever Changed says
}

// Move tells the task that a view has moved. It must be called before the next Step or Tick
// that could read the view, and once before the first one. m's memory is the caller's again
// on return. It may be called in any state of the task: what Abort drops does not
// bring an earlier position back.
func (t *Task) Move(m GlobalMove) {
	g := t.globals[m.Global]
	g.at, g.unsaid = append(g.at[:0], m.At...), true
	g.forget(m.Changed, m.All)
}

// globalState is what a task knows of a global table, whatever its types.
type globalState struct {
	at     []Offset // the view's position
	said   []Offset // the position that the commit in hand has a decision of; it may be shorter
	unsaid bool     // they may differ
	forget func(changed [][]byte, all bool)
}

// sayGlobals puts the positions that the commit in hand does not have yet among its decisions.
func (t *Task) sayGlobals() {
	for id, g := range t.globals {
		if !g.unsaid {
			continue
		}
		for p, at := range g.at {
			if p == len(g.said) {
				g.said = append(g.said, noOffset)
			}
			if g.said[p] != at {
				g.said[p] = at
				t.tx.c.Decisions = append(t.tx.c.Decisions, Decision{Source: Moved, N: int64(at), Global: GlobalID(id), Partition: int32(p)})
			}
		}
		g.unsaid = false
	}
}

// newCommit makes all positions unsaid: each commit has its own.
func (t *Task) newCommit() {
	for _, g := range t.globals {
		g.said, g.unsaid = g.said[:0], true
	}
}

// Global is a table that is only read: typed rows over the View of a global table. A row
// stays decoded until it changes, within the task's CacheBytes.
type Global[K comparable, V any] struct{ rows *Table[K, V] }

// NewGlobal adds the next global table to t. name is the table's, as the topology says it.
func NewGlobal[K comparable, V any](t *Task, name string, kc Codec[K], vc Codec[V]) *Global[K, V] {
	rows := newTable(t, noTable, name, t.cfg.Global(GlobalID(len(t.globals))), kc, vc)
	t.tables = append(t.tables, rows)
	t.globals = append(t.globals, &globalState{forget: func(changed [][]byte, all bool) {
		if all {
			rows.evict(0)
			return
		}
		for _, raw := range changed {
			if rows.index.len() == 0 {
				return
			}
			// A key that does not decode was never looked up.
			if k, err := kc.Decode(raw); err == nil {
				if i, ok := rows.at(k); ok {
					rows.drop(i)
				}
			}
		}
	}})
	return &Global[K, V]{rows}
}

// Get is a Lookup of any key.
func (g *Global[K, V]) Get(tx *Tx, k K) (V, Time, bool) { return g.rows.Get(tx, k) }

// JoinGlobal looks up the row of the key that key makes of each value, and passes on what f
// makes of value and row, with the record's key and time. A record with no row goes no
// further. Only the stream's records make results.
func JoinGlobal[K, V, G, T, R any](n NodeID, table Lookup[G, T], key func(V) G, f func(V, T) R, next Next[K, R]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		k := key(r.Value)
		tx.called(n)
		row, _, ok := table(tx, k)
		if tx.err != nil {
			return
		}
		if !ok {
			tx.drop(n, Unmatched)
			return
		}
		tx.node = n
		res := f(r.Value, row)
		tx.called(n)
		next(tx, Record[K, R]{r.Key, res, r.Time, r.Headers})
	}
}

// LeftJoinGlobal is JoinGlobal that also takes records with no row.
func LeftJoinGlobal[K, V, G, T, R any](n NodeID, table Lookup[G, T], key func(V) G, f func(V, Opt[T]) R, next Next[K, R]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		k := key(r.Value)
		tx.called(n)
		var row Opt[T]
		var at Time
		if row.Value, at, row.OK = table(tx, k); tx.err != nil || !row.OK && planted("a left join needs a row") {
			return
		}
		if row.OK && at > r.Time && planted("a join passes over rows of a global table that are younger than its record") {
			row = Opt[T]{}
		}
		tx.node = n
		res := f(r.Value, row)
		tx.called(n)
		next(tx, Record[K, R]{r.Key, res, r.Time, r.Headers})
	}
}

// Rows is a port: all rows of a global table. A step may not write to them.
type Rows[K comparable, V any] struct{ find func(K) (V, bool) }

// RowsOf makes Rows for tests.
func RowsOf[K comparable, V any](rows map[K]V) Rows[K, V] {
	return Rows[K, V]{find: func(k K) (v V, ok bool) { v, ok = rows[k]; return v, ok }}
}

// Get returns the row of a key, or reports that there is none. It may be called during a
// step only.
func (r *Rows[K, V]) Get(key K) (v V, ok bool) {
	if r.find == nil {
		return v, false
	}
	return r.find(key)
}

func (*Rows[K, V]) isPort() {}

// AddRows connects Rows to what finds them.
func AddRows[K comparable, P any, G comparable, V any](ps *Ports[K, P], rows *Rows[G, V], from Lookup[G, V]) {
	p := &rowsPort[K, G, V]{from: from}
	rows.find = p.find
	ps.ports = append(ps.ports, p)
}

type rowsPort[K comparable, G comparable, V any] struct {
	from Lookup[G, V]
	tx   *Tx
	n    NodeID
}

func (p *rowsPort[K, G, V]) begin(tx *Tx, n NodeID, _ K)          { p.tx, p.n = tx, n }
func (p *rowsPort[K, G, V]) rejected() error                      { return nil }
func (p *rowsPort[K, G, V]) end(*Tx, NodeID, Record[K, struct{}]) {}

func (p *rowsPort[K, G, V]) find(key G) (v V, ok bool) {
	v, _, ok = p.from(p.tx, key)
	p.tx.node = p.n // the step goes on: a panic is its own again
	return v, ok
}
