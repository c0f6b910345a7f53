package plain

import (
	"slices"

	"github.com/seed-81380e12/limpet/topology"
)

// kept is a table with rows of its own.
type kept struct {
	t    *Task
	of   Table
	rows map[Key]Row
}

func (t *Task) kept(of Table, name string) *kept {
	k := &kept{t, of, map[Key]Row{}}
	t.look(of, func(key Key, _ Time) (Row, bool) { row, ok := k.rows[key]; return row, ok })
	t.named[name], t.kepts[of] = k.rows, k
	return k
}

// set changes a row, and tells all who follow: also where it changes nothing, and where it deletes what was not there.
func (k *kept) set(key Key, row Opt, at Time, headers topology.Headers) {
	was, ok := k.rows[key]
	c := Change{Key: key, Old: Opt{Value: was.Value, OK: ok}, Time: at, Headers: headers}
	if row.OK {
		k.rows[key] = Row{row.Value, at}
		c.New = row
	} else {
		delete(k.rows, key)
	}
	k.t.change(k.of, c)
}

// ToTable keeps the latest value of each key, by offset.
func (p *Topology) ToTable(in Stream, name string) Table {
	out := p.tableOf(in)
	p.add(func(t *Task) {
		rows := t.kept(out, name)
		t.hear(in, func(r Record) {
			if !r.Key.Null {
				rows.set(r.Key, Opt{Value: r.Value, OK: true}, r.Time, r.Headers)
			}
		})
	})
	return out
}

// tableOf is the handle of a table that is made of streams.
func (p *Topology) tableOf(of ...Stream) Table { return Table(p.stream(of...)) }

// streamOf is the handle of a stream that is made of tables.
func (p *Topology) streamOf(of ...Table) Stream { return Stream(p.table(of...)) }

// ToStream passes on new values; deletions end here.
func (p *Topology) ToStream(tb Table) Stream {
	out := p.streamOf(tb)
	p.add(func(t *Task) {
		t.follow(tb, func(c Change) {
			if c.New.OK {
				t.pass(out, Record{c.Key, c.New.Value, c.Time, c.Headers})
			}
		})
	})
	return out
}

// Changes passes on what f makes of the old and the new value of each change.
func (p *Topology) Changes(tb Table, f func(old, now Opt) string) Stream {
	out := p.streamOf(tb)
	p.add(func(t *Task) {
		t.follow(tb, func(c Change) { t.pass(out, Record{c.Key, f(c.Old, c.New), c.Time, c.Headers}) })
	})
	return out
}

// MapTable is a table of what f makes of each row.
func (p *Topology) MapTable(tb Table, f func(string) string) Table {
	out := p.table(tb)
	p.add(func(t *Task) {
		each := func(o Opt) Opt {
			if o.OK {
				o.Value = f(o.Value)
			}
			return o
		}
		t.follow(tb, func(c Change) {
			c.Old, c.New = each(c.Old), each(c.New)
			t.change(out, c)
		})
		t.look(out, func(k Key, asOf Time) (Row, bool) {
			row, ok := t.rowAsOf(tb, k, asOf)
			if ok {
				row.Value = f(row.Value)
			}
			return row, ok
		})
	})
	return out
}

// Join passes on what f makes of each record and the row of its key, and drops those that have none. With left it passes
// them on, too, and records with no key.
func (p *Topology) Join(in Stream, tb Table, left bool, f func(value string, row Opt) string) Stream {
	out := Stream(p.handle([]int{int(in), int(tb)}))
	p.add(func(t *Task) {
		t.hear(in, func(r Record) {
			var row Row
			var ok bool
			if !r.Key.Null {
				row, ok = t.rowAsOf(tb, r.Key, r.Time)
			}
			if ok || left {
				r.Value = f(r.Value, Opt{Value: row.Value, OK: ok})
				t.pass(out, r)
			}
		})
	})
	return out
}

// Needed says of which tables a join must have a row, and whether it must keep its own.
type Needed struct{ Left, Right, Stored bool }

// JoinTables joins the rows of two tables with the same key.
func (p *Topology) JoinTables(left, right Table, name string, need Needed, f func(a, b Opt) string) Table {
	return p.joinTables([]Table{left, right}, name, need.Stored, func(rows []Opt) Opt {
		a, b := rows[0], rows[1]
		if !a.OK && !b.OK || !a.OK && need.Left || !b.OK && need.Right {
			return Opt{}
		}
		return Opt{Value: f(a, b), OK: true}
	}, func(c Change, rows []Opt, side int, kept bool) change {
		// A change of one side makes one of the result where the other one has its row, or the side's own could do alone.
		alone := !need.Right
		if side == 1 {
			alone = !need.Left
		}
		switch {
		case rows[1-side].OK || alone && (c.Old.OK || c.New.OK):
			return made
		case kept && !c.New.OK:
			return gone
		}
		return nothing
	})
}

// Part is a table of a Combine.
type Part struct {
	Table Table
	Need  bool
	Put   func(result, row string) string
}

// Combine joins any number of tables: a row is made from the empty one by the parts that have a row, in order.
func (p *Topology) Combine(name string, parts ...Part) Table {
	var tables []Table
	for _, part := range parts {
		tables = append(tables, part.Table)
	}
	combined := func(rows []Opt) (out Opt) {
		for i, part := range parts {
			if rows[i].OK {
				out = Opt{Value: part.Put(out.Value, rows[i].Value), OK: true}
			} else if part.Need {
				return Opt{}
			}
		}
		return out
	}
	return p.joinTables(tables, name, false, combined, func(c Change, rows []Opt, side int, kept bool) change {
		before, after := slices.Clone(rows), slices.Clone(rows)
		before[side], after[side] = c.Old, c.New
		switch { // it emits where there was a row, or is one
		case combined(before).OK || combined(after).OK:
			return made
		case kept:
			return gone
		}
		return nothing
	})
}

// change is what a join of tables makes of a change of one of them.
type change int

const (
	nothing change = iota
	made           // of the rows before and after, also where they are the same
	gone           // one record has taken all the rows away that the result was made of
)

// joinTables is both: join makes a row of the tables' rows, and emits says what a change of one of them makes, where the others have
// such rows; kept, whether the join has a row of its own for the key. A join keeps no rows; they are made whenever somebody asks. But it
// does where it is told to, and where two of the tables are made of one.
func (p *Topology) joinTables(tables []Table, name string, stored bool, join func(rows []Opt) Opt, emits func(c Change, rows []Opt, side int, kept bool) change) Table {
	out := p.table(tables...)
	stored = stored || p.meet(tables...)
	p.add(func(t *Task) {
		var rows *kept
		if stored {
			rows = t.kept(out, name)
		} else {
			t.look(out, func(k Key, asOf Time) (Row, bool) {
				parts, at := t.rowsOf(tables, k, asOf)
				row := join(parts)
				return Row{row.Value, at}, row.OK
			})
		}
		for side, tb := range tables {
			t.follow(tb, func(c Change) {
				parts, _ := t.rowsOf(tables, c.Key, latest)
				now := c
				for i, other := range tables {
					if row, ok := t.row(other, c.Key); i != side && ok {
						now.Time = max(now.Time, row.Time)
					}
				}
				has := false
				if stored {
					_, has = rows.rows[c.Key]
				}
				switch emits(c, parts, side, has) {
				case nothing:
					return
				case gone:
					rows.set(c.Key, Opt{}, c.Time, c.Headers)
					return
				}
				parts[side] = c.Old
				now.Old = join(parts)
				parts[side] = c.New
				now.New = join(parts)
				if stored {
					rows.set(c.Key, now.New, now.Time, c.Headers)
				} else {
					t.change(out, now)
				}
			})
		}
	})
	return out
}

// rowsOf are the rows of a key in some tables, and the greatest of their times.
func (t *Task) rowsOf(tables []Table, k Key, asOf Time) (rows []Opt, at Time) {
	at = -1
	for _, tb := range tables {
		row, ok := t.rowAsOf(tb, k, asOf)
		if ok {
			at = max(at, row.Time)
		}
		rows = append(rows, Opt{Value: row.Value, OK: ok})
	}
	return rows, at
}
