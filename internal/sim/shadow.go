package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-81380e12/limpet/core"
)

// shadowTable is a table of a fresh run: a core.View.
type shadowTable struct {
	rows     map[string]shadowRow
	versions bool                 // a row is one version of several
	gone     map[string]shadowRow // versions that were deleted since nobody can see them any more
}

type shadowRow struct {
	value []byte
	at    core.Time
}

func newShadowTable(versions bool) *shadowTable {
	return &shadowTable{rows: map[string]shadowRow{}, versions: versions, gone: map[string]shadowRow{}}
}

func (t *shadowTable) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	r, ok := t.rows[string(key)]
	return append(buf, r.value...), r.at, ok, nil
}

func (t *shadowTable) Scan(lo, hi []byte, f func(key, value []byte, at core.Time) bool) error {
	for _, k := range slices.Sorted(maps.Keys(t.rows)) {
		if r := t.rows[k]; k >= string(lo) && (hi == nil || k < string(hi)) && !f([]byte(k), r.value, r.at) {
			break
		}
	}
	return nil
}

// write takes a row of a commit.
func (t *shadowTable) write(w *core.Write) {
	key := string(w.Key)
	if w.Value != nil {
		t.rows[key] = shadowRow{bytes.Clone(w.Value), w.Time}
		delete(t.gone, key)
		return
	}
	if was, ok := t.rows[key]; ok && t.versions {
		t.gone[key] = was
	}
	if w.Version == core.LastWord { // it is in the changelog, and was in no store
		t.gone[key] = shadowRow{[]byte{0}, w.Time}
	}
	delete(t.rows, key)
}

// same compares a store's or changelog's rows with these. A changelog is not told of versions that nobody
// can see any more: of those it may have more, as they were, if a newer one stands for each, or
// if they say that there is no row.
func (t *shadowTable) same(rows map[string]shadowRow) error {
	latest := map[string]core.Time{}
	for k := range rows {
		if key, at, err := core.CutVersion([]byte(k)); err == nil && t.versions {
			latest[string(key)] = max(latest[string(key)], at)
		}
	}
	equal := func(a, b shadowRow) bool { return a.at == b.at && bytes.Equal(a.value, b.value) }
	bad := ""
	for k, r := range rows {
		want, ok := t.rows[k]
		if ok && equal(r, want) {
			continue
		}
		if was, gone := t.gone[k]; !ok && gone && equal(r, was) {
			if key, at, err := core.CutVersion([]byte(k)); err == nil && (at < latest[string(key)] || r.value[0] == 0) {
				continue
			}
		}
		if bad == "" || k < bad {
			bad = k
		}
	}
	if bad != "" {
		r, want := rows[bad], t.rows[bad]
		_, ok := t.rows[bad]
		return fmt.Errorf("row %q is %q @%d, and %q @%d (%v) in a fresh run", bad, r.value, r.at, want.value, want.at, ok)
	}
	for _, k := range slices.Sorted(maps.Keys(t.rows)) {
		if _, ok := rows[k]; !ok {
			return fmt.Errorf("it has %d rows, a fresh run has %d: row %q is missing", len(rows), len(t.rows), k)
		}
	}
	return nil
}

// shadowGlobal is a global table of a fresh run, at a position: what was ever committed below it.
type shadowGlobal struct {
	topic *topic
	at    []core.Offset
	rows  map[string]shadowRow // nil: to be made
}

func newShadowGlobal(t *topic) *shadowGlobal {
	return &shadowGlobal{topic: t, at: make([]core.Offset, len(t.parts))}
}

// fold is the rows of a topic at a position.
func (t *topic) fold(at []core.Offset) map[string]shadowRow {
	rows := map[string]shadowRow{}
	for i, p := range t.parts {
		for o := range at[i] {
			switch e := &p.log[o]; {
			case !e.committed() || e.rec.Key == nil:
			case e.rec.Value == nil:
				delete(rows, string(e.rec.Key))
			default:
				rows[string(e.rec.Key)] = shadowRow{e.rec.Value, e.rec.Time}
			}
		}
	}
	return rows
}

func (g *shadowGlobal) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	if g.rows == nil {
		g.rows = g.topic.fold(g.at)
	}
	r, ok := g.rows[string(key)]
	return append(buf, r.value...), r.at, ok, nil
}

// Scan is not used: global tables are looked up by key.
func (g *shadowGlobal) Scan([]byte, []byte, func(key, value []byte, at core.Time) bool) error {
	return fmt.Errorf("sim: a global table is scanned")
}

// move lets the second run see a global table where the first one saw it. That is never before what the
// topic held when the process started, and never beyond what may be read.
func (s *shadow) move(d core.Decision, held map[string][]core.Offset) error {
	g := s.global[d.Global]
	p, to := g.topic.parts[d.Partition], core.Offset(d.N)
	switch {
	case to > p.stable():
		return fmt.Errorf("global table %s is seen at %d of partition %d, which may be read up to %d", g.topic.Name, to, d.Partition, p.stable())
	case to < held[g.topic.Name][d.Partition]:
		return fmt.Errorf("global table %s is seen at %d of partition %d, which held %d when the process started", g.topic.Name, to, d.Partition, held[g.topic.Name][d.Partition])
	}
	g.at[d.Partition], g.rows = to, nil
	s.core.Move(core.GlobalMove{Global: d.Global, At: g.at, All: true})
	return nil
}

// globals checks at the end that a process has all of its global tables, and no more.
func (c *checker) globals(l *life) {
	for _, g := range c.plan.Globals() {
		t := c.w.kafka.topics[g.Topic]
		at, view := l.st.Global(g.Topic)
		for i, p := range t.parts {
			if at[i] < p.stable() {
				c.w.failf("%s: global table %s is at %d of partition %d, which ends at %d", l.slot.instance, g.Topic, at[i], i, p.stable())
			}
		}
		rows := map[string]shadowRow{}
		err := view.Scan(nil, nil, func(key, value []byte, at core.Time) bool {
			rows[string(key)] = shadowRow{bytes.Clone(value), at}
			return true
		})
		if err == nil {
			err = (&shadowTable{rows: t.fold(at)}).same(rows)
		}
		if err != nil {
			c.w.failf("%s: global table %s: %w", l.slot.instance, g.Topic, err)
		}
	}
}
