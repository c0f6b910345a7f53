package plain

import "github.com/seed-81380e12/limpet/topology"

// version is a row from a time on; one that is not OK says that there is none.
type version struct {
	Opt
	at Time
}

// versions are those of the rows of a table.
type versions struct {
	t       *Task
	of      Table
	history Time
	at      Time              // the greatest of what was put
	all     map[Key][]version // by time
}

func (t *Task) versions(of Table, history Time) *versions {
	v := &versions{t, of, history, -1, map[Key][]version{}}
	t.look(of, v.find)
	return v
}

// find finds the version that is valid at a time. As of one that is more than the history behind it is the latest one or none.
func (v *versions) find(k Key, asOf Time) (Row, bool) {
	var found version
	all := v.all[k]
	for i, o := range all {
		if o.at <= asOf && (i == len(all)-1 || asOf >= v.at-v.history) {
			found = o
		}
	}
	return Row{found.Value, found.at}, found.OK
}

// put adds a version. Changes of the latest ones go downstream.
func (v *versions) put(k Key, row Opt, at Time, h topology.Headers) {
	if at < v.at-v.history {
		return
	}
	v.at = max(v.at, at)
	var before, after []version
	for _, o := range v.all[k] {
		switch {
		case o.at < at:
			before = append(before, o)
		case o.at > at:
			after = append(after, o)
		}
	}
	var old Opt
	if n := len(v.all[k]); n > 0 {
		old = v.all[k][n-1].Opt
	}
	v.all[k] = append(append(before, version{row, at}), after...)
	if len(after) == 0 {
		v.t.change(v.of, Change{k, old, row, at, h})
	}
}

// VersionedTable is a topic's table that keeps versions.
func (p *Topology) VersionedTable(topic string, history Time) Table {
	out := p.table()
	p.add(func(t *Task) {
		v := t.versions(out, history)
		t.sources[topic] = func(in In) {
			if in.Key != nil {
				v.put(Key{Key: string(in.Key)}, Opt{Value: string(in.Value), OK: in.Value != nil}, in.Time, in.Headers)
			}
		}
	})
	return out
}

// ToVersionedTable keeps the versions of each key's value; one that done accepts says that there is no row.
func (p *Topology) ToVersionedTable(in Stream, history Time, done func(string) bool) Table {
	out := p.tableOf(in)
	p.add(func(t *Task) {
		v := t.versions(out, history)
		t.hear(in, func(r Record) {
			if r.Key.Null {
				return
			}
			row := some(r.Value)
			if done(r.Value) {
				row = Opt{}
			}
			v.put(r.Key, row, r.Time, r.Headers)
		})
	})
	return out
}
