package conformance_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// What comes of versioned tables, with a store that is a model, too: see tombstoneForgotten.

// viewModel is what a view that a case names makes of a value; nil is no row.
func viewModel(view string, v *string) *string {
	switch {
	case v == nil || strings.HasPrefix(view, "filter") && !even(*v):
		return nil
	case strings.HasPrefix(view, "mapValues"):
		return some(*v + "!")
	}
	return v
}

// latestOnly says which records of a case go on behind its tables: all, or, where the tables have a history, those that are
// the latest versions of their rows. So joins and groups do with changes of a versioned table.
func latestOnly(c *conformanceCase, history string, stores versionStores) func(conformanceRecord) bool {
	tables := map[string]versionStore{}
	return func(in conformanceRecord) bool {
		if in.Key == nil || !c.has(history) {
			return true
		}
		if tables[in.Topic] == nil {
			tables[in.Topic] = stores(core.Ms(c.ms(history)))
		}
		return tables[in.Topic].put(*in.Key, in.Value, in.At) == stillValid
	}
}

// joinVersionedTables is a case of a join of two versioned tables with what a model makes of it: changes of latest versions go
// into the join, late ones do not. nil where the tables have no versions.
func joinVersionedTables(c *conformanceCase, stores versionStores) *conformanceCase {
	const history = "versioned_history_ms"
	if !c.has(history) {
		return nil
	}
	tables, views := map[string]versionStore{}, map[string]string{}
	side := func(topic string) tableSide {
		tables[topic], views[topic] = stores(core.Ms(c.ms(history))), c.str(topic+"_view")
		return func(key string) tableRow {
			v, _ := tables[topic].latest(key)
			return tableRow{viewModel(views[topic], v.value), v.at}
		}
	}
	var out []conformanceRecord
	m := &tableJoinModel{
		kind: c.str("join"), format: "%s+%s", none: c.joinsToNone(), left: side("left"), right: side("right"), rows: map[string]tableRow{},
		next: func(key string, c tableChange) { out = append(out, conformanceRecord{"out", &key, c.new, c.at}) },
	}
	d := c.replay(func(in conformanceRecord) []conformanceRecord {
		out = nil
		if in.Key == nil {
			return nil
		}
		table, view := tables[in.Topic], views[in.Topic]
		old, _ := table.latest(*in.Key)
		if table.put(*in.Key, in.Value, in.At) == stillValid {
			m.change(in.Topic == "left", *in.Key, tableChange{viewModel(view, old.value), viewModel(view, in.Value), in.At})
		}
		return out
	})
	d.States = map[string][]stateLine{}
	for store := range c.States {
		d.States[store] = linesOf(m.rows)
	}
	return d
}

// joinAsOf is a case of a join of a stream with a versioned table, at once or with grace, with what a model makes of it.
func joinAsOf(c *conformanceCase, stores versionStores) *conformanceCase {
	j := versionedJoinOf(c)
	table, grace, clock := stores(core.Ms(c.ms(j.history))), core.Ms(c.ms(j.grace)), core.Time(-1)
	var waits, out []conformanceRecord
	join := func(in conformanceRecord) {
		var row *string
		if in.Key != nil {
			if v, ok := table.asOf(*in.Key, in.At); ok {
				row = viewModel(c.str("table_view"), v.value)
			}
		}
		if row != nil || j.kind == "left" {
			out = append(out, conformanceRecord{"out", in.Key, some(fmt.Sprintf(j.format, *in.Value, text(row))), in.At})
		}
	}
	d := c.replay(func(in conformanceRecord) []conformanceRecord {
		out = nil
		switch {
		case in.Topic == j.table:
			if in.Key != nil {
				table.put(*in.Key, in.Value, in.At)
			}
		case in.Value == nil: // dropped
		case !c.has(j.grace) || in.Key == nil || in.At < clock-grace:
			join(in)
		default:
			clock = max(clock, in.At)
			waits = append(waits, in)
			slices.SortStableFunc(waits, func(a, b conformanceRecord) int {
				return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(*a.Key, *b.Key))
			})
			for len(waits) > 0 && waits[0].At <= clock-grace {
				join(waits[0])
				waits = waits[1:]
			}
		}
		return out
	})
	return d.latestRows(table)
}

// latestRows is the case with the latest versions in a store as the rows of its store.
func (c *conformanceCase) latestRows(s versionStore) *conformanceCase {
	keys, rows := map[string]bool{}, []stateLine{}
	for _, step := range c.Steps {
		for _, in := range step.In {
			if in.Key == nil || keys[*in.Key] {
				continue
			}
			keys[*in.Key] = true
			if v, ok := s.latest(*in.Key); ok {
				rows = append(rows, stateLine{key: *in.Key, value: *v.value, at: v.at})
			}
		}
	}
	d := c.with(c.Steps)
	d.States = map[string][]stateLine{}
	for store := range c.States {
		d.States[store] = rows
	}
	return d
}

// versionLate is the rule of that name: behind a versioned table go the changes of latest versions only. In Kafka Streams late ones
// go on, too, and filters, maps, their stores and streams take them for the row as it is now.
func versionLate(c *conformanceCase) (streams, limpet *conformanceCase) {
	if !c.has("versioned_history_ms") {
		return nil, nil
	}
	history := core.Ms(c.ms("versioned_history_ms"))
	return viewsOfVersions(c, newKSVersions(history), true), viewsOfVersions(c, newVersionModel(history), false)
}

// versionView is a filter or map of a versioned table.
type versionView struct {
	do    func(*string) *string
	keeps bool // a change of nothing to nothing
	store string
	rows  map[string]tableRow
}

// viewsOf are those of a case. A filter on versions lets each change go on; one behind a view with a store does not.
func viewsOf(c *conformanceCase) (views []versionView) {
	versions := true
	for _, op := range list(c.Params["ops"]) {
		op := op.(map[string]any)
		words := func(name string) string { w, _ := op[name].(string); return w }
		v := versionView{keeps: versions || words("do") == "mapValues", store: words("store"), rows: map[string]tableRow{}}
		keep, f := func(nullable) bool { return true }, func(v nullable) nullable { return v }
		switch words("do") {
		case "filter":
			keep = predicateOf(words("predicate"))
		case "filterNot":
			keep = not(predicateOf(words("predicate")))
		default:
			f = mapperOf(words("result"))
		}
		v.do = func(s *string) *string {
			if s == nil || !keep(topology.Some(*s)) {
				return nil
			}
			if n := f(topology.Some(*s)); n.OK {
				return &n.Value
			}
			return nil
		}
		versions = versions && v.store == ""
		views = append(views, v)
	}
	return views
}

// viewsOfVersions is a case of a versioned table with filters and maps on it, with what a model makes of it.
func viewsOfVersions(c *conformanceCase, table versionStore, late bool) *conformanceCase {
	views := viewsOf(c)
	d := c.replay(func(in conformanceRecord) []conformanceRecord {
		if in.Key == nil {
			return nil
		}
		before, _ := table.latest(*in.Key)
		if to := table.put(*in.Key, in.Value, in.At); to == notPut || to != stillValid && !late {
			return nil
		}
		ch := tableChange{before.value, in.Value, in.At}
		for _, v := range views {
			ch.old, ch.new = v.do(ch.old), v.do(ch.new)
			if v.store != "" {
				ch.old = v.rows[*in.Key].value
			}
			if ch.old == nil && ch.new == nil && !v.keeps {
				return nil
			}
			v.rows[*in.Key] = tableRow{ch.new, ch.at}
		}
		return []conformanceRecord{{"out", in.Key, ch.new, ch.at}}
	}).latestRows(table)
	for _, v := range views {
		if v.store != "" {
			d.States[v.store] = linesOf(v.rows)
		}
	}
	return d
}
