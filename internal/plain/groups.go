package plain

import "strconv"

// Group folds the rows of each group of a table: Less takes a row out again.
type Group struct {
	First     func(row string) string // nil: the first row is added to nothing, too
	Add, Less func(sum, row string) string
}

// CountRows counts rows.
var CountRows = Group{
	Add:  Count.Add,
	Less: func(sum, _ string) string { n, _ := strconv.Atoi(sum); return strconv.Itoa(n - 1) },
}

// AggregateTable sends each change of a table through a topic, by its group, and folds the rows of each group there.
func (p *Topology) AggregateTable(tb Table, name string, group func(row string) string, g Group) Table {
	out := p.table()
	p.add(func(t *Task) {
		send := func(c Change, to string, old, now Opt) {
			t.send(name, Record{Key{Key: to}, string(appendChange(nil, old, now)), c.Time, c.Headers})
		}
		t.follow(tb, func(c Change) {
			if c.Old.OK && c.New.OK && group(c.Old.Value) == group(c.New.Value) {
				send(c, group(c.New.Value), c.Old, c.New)
				return
			}
			if c.Old.OK { // a row that moves leaves the old group first
				send(c, group(c.Old.Value), c.Old, Opt{})
			}
			if c.New.OK {
				send(c, group(c.New.Value), Opt{}, c.New)
			}
		})
		rows := t.kept(out, name)
		t.sources[t.App+"-"+name+"-repartition"] = func(in In) {
			r := record(in)
			was, ok := rows.rows[r.Key]
			sum, change := Opt{Value: was.Value, OK: ok}, cutChange(in.Value)
			if old := change[0]; old.OK && sum.OK {
				sum.Value = g.Less(sum.Value, old.Value)
			}
			if now := change[1]; now.OK {
				switch {
				case sum.OK:
					sum.Value = g.Add(sum.Value, now.Value)
				case g.First != nil:
					sum = some(g.First(now.Value))
				default:
					sum = some(g.Add("", now.Value))
				}
			}
			at := r.Time
			if ok {
				at = max(at, was.Time)
			}
			rows.set(r.Key, sum, at, r.Headers)
		}
	})
	return out
}
