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
	rows    map[string]shadowRow
	history core.Time              // of a table where a row is one version of several; 0: it is not
	was     map[string][]shadowRow // what versions were that are no more, or others by now: the last one behind
}

type shadowRow struct {
	value []byte
	at    core.Time
}

func (r shadowRow) equal(o shadowRow) bool { return r.at == o.at && bytes.Equal(r.value, o.value) }

func newShadowTable(history core.Time) *shadowTable {
	return &shadowTable{rows: map[string]shadowRow{}, history: history, was: map[string][]shadowRow{}}
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
	if was, ok := t.rows[key]; ok && t.history > 0 {
		t.was[key] = append(t.was[key], was)
	}
	if w.Value != nil {
		t.rows[key] = shadowRow{bytes.Clone(w.Value), w.Time}
		return
	}
	if w.Version == core.LastWord { // it is in the changelog, and was in no store
		t.was[key] = append(t.was[key], shadowRow{[]byte{0}, w.Time})
	}
	delete(t.rows, key)
}

// same compares a store's or changelog's rows with these. A changelog is not told of versions that nobody
// can see any more: of those it may have more, see past. rolled: it is local state that may have been rolled forward.
func (t *shadowTable) same(rows map[string]shadowRow, rolled bool) error {
	past := t.past(rows)
	bad := ""
	for k, r := range rows {
		want, ok := t.rows[k]
		if ok && r.equal(want) || !ok && past(k, r, rolled) {
			continue
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

// past reports whether a version is one that nobody can see any more: it is older than the history, and so is
// a newer one of the same row among these, or it says that there is no row. It must be what it was when
// it was deleted. Local state that is rolled forward may have it as it was at any time before: the version that replaced it
// may have been compacted away meanwhile, behind one that is newer than both.
func (t *shadowTable) past(rows map[string]shadowRow) func(k string, r shadowRow, rolled bool) bool {
	newest := core.NoTime // the table's time: of that version there always is a row
	for k := range t.rows {
		if _, at, err := core.CutVersion([]byte(k)); err == nil {
			newest = max(newest, at)
		}
	}
	limit := newest - t.history
	stands := map[string]core.Time{} // the version that is valid at the limit
	for k := range rows {
		if key, at, err := core.CutVersion([]byte(k)); err == nil && at <= limit {
			stands[string(key)] = max(stands[string(key)], at)
		}
	}
	return func(k string, r shadowRow, rolled bool) bool {
		was := t.was[k]
		if len(was) == 0 {
			return false
		}
		if !rolled {
			was = was[len(was)-1:]
		}
		key, at, err := core.CutVersion([]byte(k))
		return err == nil && slices.ContainsFunc(was, r.equal) && at <= limit && (at < stands[string(key)] || r.value[0] == 0)
	}
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
		return see(checkGlobalSeen, "global table %s is seen at %d of partition %d, which may be read up to %d", g.topic.Name, to, d.Partition, p.stable())
	case to < held[g.topic.Name][d.Partition]:
		return see(checkGlobalSeen, "global table %s is seen at %d of partition %d, which held %d when the process started", g.topic.Name, to, d.Partition, held[g.topic.Name][d.Partition])
	}
	g.at[d.Partition], g.rows = to, nil
	s.core.Move(core.GlobalMove{Global: d.Global, At: g.at, All: true})
	return nil
}

// globalsAt is where the task sees global tables now.
func (s *shadow) globalsAt() (at [][]core.Offset) {
	for _, g := range s.global {
		at = append(at, slices.Clone(g.at))
	}
	return at
}

// globals checks at the end that a process has all of its global tables, and no more.
func (c *checker) globals(l *life) {
	for _, g := range c.plan.Globals() {
		t := c.w.kafka.topics[g.Topic]
		at, view := l.st.Global(g.Topic)
		for i, p := range t.parts {
			if at[i] < p.stable() {
				c.w.failf(checkGlobalEnd, "%s: global table %s is at %d of partition %d, which ends at %d", l.slot.instance, g.Topic, at[i], i, p.stable())
			}
		}
		rows := map[string]shadowRow{}
		err := view.Scan(nil, nil, func(key, value []byte, at core.Time) bool {
			rows[string(key)] = shadowRow{bytes.Clone(value), at}
			return true
		})
		if err == nil {
			err = (&shadowTable{rows: t.fold(at)}).same(rows, false)
		}
		if err != nil {
			c.w.failf(checkGlobalEnd, "%s: global table %s: %w", l.slot.instance, g.Topic, err)
		}
	}
}
