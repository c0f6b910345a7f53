package conformance_test

import (
	"fmt"
	"strings"

	"github.com/seed-81380e12/limpet/core"
)

// tableRow is a row of a table; value nil is none.
type tableRow struct {
	value *string
	at    core.Time
}

// linesOf are the rows that are there, as a case tells them.
func linesOf(rows map[string]tableRow) []stateLine {
	lines := []stateLine{}
	for k, r := range rows {
		if r.value != nil {
			lines = append(lines, stateLine{key: k, value: *r.value, at: r.at})
		}
	}
	return lines
}

// tableChange is a change of a table.
type tableChange struct {
	old, new *string
	at       core.Time
}

// tableSide is a table as a join sees it: its rows by key.
type tableSide func(key string) tableRow

// tableJoinModel is a join of two tables as Kafka Streams has it: a change finds the other side's row
// as it is now.
type tableJoinModel struct {
	kind, format string
	none         func(a, b string) bool // of these two nothing comes; may be nil
	left, right  tableSide
	rows         map[string]tableRow // what went on last; read only if stored
	stored       bool
	// goes: a result whose rows went at once is deleted; see docs/semantics.md, "gone-at-once".
	goes bool
	next func(key string, c tableChange)
}

func (m *tableJoinModel) join(a, b *string) *string {
	if a == nil && (m.kind != "outer" || b == nil) || b == nil && m.kind == "inner" {
		return nil
	}
	if m.none != nil && a != nil && b != nil && m.none(*a, *b) {
		return nil
	}
	return some(fmt.Sprintf(m.format, text(a), text(b)))
}

// change takes a change of one side.
func (m *tableJoinModel) change(left bool, key string, c tableChange) {
	other, needs := m.right(key), m.kind == "inner"
	if !left {
		other, needs = m.left(key), m.kind != "outer"
	}
	if other.value == nil && (needs || c.old == nil && c.new == nil) {
		if row := m.rows[key]; m.goes && c.new == nil && row.value != nil {
			m.emit(key, tableChange{row.value, nil, c.at})
		}
		return
	}
	if other.value != nil {
		c.at = max(c.at, other.at)
	}
	if left {
		m.emit(key, tableChange{m.join(c.old, other.value), m.join(c.new, other.value), c.at})
	} else {
		m.emit(key, tableChange{m.join(other.value, c.old), m.join(other.value, c.new), c.at})
	}
}

func (m *tableJoinModel) emit(key string, c tableChange) {
	m.rows[key] = tableRow{c.new, c.at}
	m.next(key, c)
}

// find is the result's row: the one that went on, where they are kept, else made of both sides' rows.
func (m *tableJoinModel) find(key string) tableRow {
	if m.stored {
		return m.rows[key]
	}
	a, b := m.left(key), m.right(key)
	r := tableRow{m.join(a.value, b.value), a.at}
	if a.value == nil || b.value != nil && b.at > a.at {
		r.at = b.at
	}
	return r
}

// threeModel is a join of a join of two topics with a third one, which may be one of them.
type threeModel struct {
	topics []string // a, b, third
	takes  func(conformanceRecord) bool
	tables map[string]map[string]tableRow
	joins  [2]*tableJoinModel
	out    []conformanceRecord
}

func newThreeModel(topics, kinds, formats [2]string, third string, stored, goes bool, takes func(conformanceRecord) bool) *threeModel {
	m := &threeModel{topics: []string{topics[0], topics[1], third}, takes: takes, tables: map[string]map[string]tableRow{}}
	table := func(topic string) tableSide {
		if m.tables[topic] == nil {
			m.tables[topic] = map[string]tableRow{}
		}
		return func(key string) tableRow { return m.tables[topic][key] }
	}
	for i := range m.joins {
		m.joins[i] = &tableJoinModel{kind: kinds[i], format: formats[i], rows: map[string]tableRow{}}
	}
	first, second := m.joins[0], m.joins[1]
	first.left, first.right, first.stored = table(topics[0]), table(topics[1]), stored
	first.next = func(key string, c tableChange) { second.change(true, key, c) }
	second.left, second.right = first.find, table(third)
	second.goes = goes && (third == topics[0] || third == topics[1])
	second.next = func(key string, c tableChange) {
		m.out = append(m.out, conformanceRecord{"out", &key, c.new, c.at})
	}
	return m
}

// step takes a record of one of the topics: by way of the first join first.
func (m *threeModel) step(in conformanceRecord) {
	if in.Key == nil || !m.takes(in) {
		return
	}
	key := *in.Key
	c := tableChange{m.tables[in.Topic][key].value, in.Value, in.At}
	m.tables[in.Topic][key] = tableRow{in.Value, in.At}
	if in.Topic == m.topics[0] {
		m.joins[0].change(true, key, c)
	}
	if in.Topic == m.topics[1] {
		m.joins[0].change(false, key, c)
	}
	if in.Topic == m.topics[2] {
		m.joins[1].change(false, key, c)
	}
}

// run is the case with what the model makes of it.
func (m *threeModel) run(c *conformanceCase) *conformanceCase {
	d := c.replay(func(in conformanceRecord) []conformanceRecord {
		m.out = nil
		m.step(in)
		return m.out
	})
	d.States = map[string][]stateLine{}
	for i, store := range []string{"ab", "abc"} {
		if _, ok := c.States[store]; !ok {
			continue
		}
		d.States[store] = linesOf(m.joins[i].rows)
	}
	return d
}

// goneAtOnce is the rule "gone-at-once": where a record takes the rows of both sides of a
// join away at once, since both are made of the same table, the result is deleted. Kafka
// Streams leaves it there for ever. The tables may have versions: see tombstoneForgotten.
func goneAtOnce(c *conformanceCase) (streams, limpet *conformanceCase) {
	play := func(goes bool, stores versionStores) *conformanceCase {
		if c.has("join1") {
			takes := latestOnly(c, "versioned_history_ms", stores)
			return newThreeModel([2]string{"a", "b"}, [2]string{c.str("join1"), c.str("join2")}, [2]string{"(%s+%s)", "%s*%s"}, c.str("third"), c.has("store1"), goes, takes).run(c)
		}
		first, second, _ := strings.Cut(c.str("topology"), ", then ")
		takes := latestOnly(c, "versioned_history_retention_ms", stores)
		return newThreeModel([2]string{"inputTopicLeft", "inputTopicRight"}, [2]string{joinKind(first), joinKind(second)}, [2]string{"%s-%s", "%s-%s"}, "inputTopicRight", false, goes, takes).run(c)
	}
	if !c.has("join1") && !strings.Contains(c.str("topology"), ", then ") {
		return nil, nil // one join
	}
	return play(false, ksVersionStore), play(true, listedVersionStore)
}
