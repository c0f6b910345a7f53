package conformance_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/seed-81380e12/limpet/core"
)

// foreignModel is a foreign-key join as messages between its two sides, one after the other, as Kafka
// Streams' driver has them.
type foreignModel struct {
	inner, self bool
	// versions: an answer is known by the number of the left row's change, not by the row's value; see
	// docs/semantics.md, "foreign-version".
	versions bool
	takes    func(conformanceRecord) bool

	left, right map[string]tableRow
	changes     map[string]int
	// subs are who refers to which right row, and as what: right key, left key.
	subs    map[string]map[string]string
	answers []foreignAnswer
	joined  map[string]tableRow
	out     []conformanceRecord
}

type foreignAnswer struct {
	key, mark string  // the left row's, when it asked
	right     *string // the right row
	at        core.Time
}

// mark is what an answer must carry that counts for a left row as it is.
func (m *foreignModel) mark(key string) string {
	if m.versions {
		return fmt.Sprint(m.changes[key])
	}
	return text(m.left[key].value)
}

// foreign is the right key that a left row refers to, if it does.
func (m *foreignModel) foreign(key string, row *string) (f string, ok bool) {
	if row == nil {
		return "", false
	}
	f = foreignKey(key, *row)
	return f, f != "-"
}

func (m *foreignModel) step(in conformanceRecord) {
	if in.Key == nil || !m.takes(in) {
		return
	}
	key := *in.Key
	if in.Topic != "left" {
		m.right[key] = tableRow{in.Value, in.At}
		m.tell(key, in)
	} else {
		old := m.left[key].value
		m.left[key] = tableRow{in.Value, in.At}
		m.changes[key]++
		if m.self { // those who refer to it are told before it refers to another one
			m.right = m.left
			m.tell(key, in)
		}
		m.ask(key, old, in)
	}
	for _, a := range m.answers {
		m.take(a)
	}
	m.answers = nil
}

// tell answers all who refer to a right row that has changed.
func (m *foreignModel) tell(key string, in conformanceRecord) {
	for _, k := range slices.Sorted(maps.Keys(m.subs[key])) {
		m.answers = append(m.answers, foreignAnswer{k, m.subs[key][k], in.Value, in.At})
	}
}

// ask subscribes a left row that has changed to the right row that it refers to now.
func (m *foreignModel) ask(key string, old *string, in conformanceRecord) {
	was, wasOK := m.foreign(key, old)
	is, isOK := m.foreign(key, in.Value)
	moved := was != is || wasOK != isOK
	if wasOK && moved {
		delete(m.subs[was], key)
	}
	if isOK {
		if m.subs[is] == nil {
			m.subs[is] = map[string]string{}
		}
		m.subs[is][key] = m.mark(key)
	}
	a := foreignAnswer{key: key, mark: m.mark(key), at: in.At}
	row := tableRow{}
	switch {
	case isOK:
		row = m.right[is]
	case m.inner:
		row = m.right[was] // the deletion goes by way of it
	}
	if row.value != nil {
		a.at = max(a.at, row.at)
		if isOK {
			a.right = row.value
		}
	}
	switch {
	case !m.inner && (old != nil || in.Value != nil): // it always has a result, or had one
	case m.inner && wasOK && moved:
	case m.inner && isOK && row.value != nil:
	default:
		return
	}
	m.answers = append(m.answers, a)
}

// take makes the result of an answer, unless the left row is another one by now.
func (m *foreignModel) take(a foreignAnswer) {
	if a.mark != m.mark(a.key) {
		return
	}
	var res *string
	if l := m.left[a.key].value; l != nil && (a.right != nil || !m.inner) {
		res = some(*l + "+" + text(a.right))
	}
	m.joined[a.key] = tableRow{res, a.at}
	m.out = append(m.out, conformanceRecord{"out", &a.key, res, a.at})
}

// run is the case with what the model makes of it.
func (m *foreignModel) run(c *conformanceCase) *conformanceCase {
	m.left, m.right, m.changes = map[string]tableRow{}, map[string]tableRow{}, map[string]int{}
	m.subs, m.joined = map[string]map[string]string{}, map[string]tableRow{}
	d := c.replay(func(in conformanceRecord) []conformanceRecord {
		m.out = nil
		m.step(in)
		return m.out
	})
	d.States = map[string][]stateLine{}
	for store := range c.States {
		d.States[store] = linesOf(m.joined)
	}
	return d
}

// foreignVersion is the rule "foreign-version": each change of a left row has one result. In
// Kafka Streams a change to the same value has the same hash, so that an answer to the row
// as it was counts for the row as it is: where a row refers to itself, there are two.
func foreignVersion(c *conformanceCase) (streams, limpet *conformanceCase) {
	play := func(versions bool, stores versionStores) *conformanceCase {
		return (&foreignModel{takes: latestOnly(c, "versioned_history_ms", stores), inner: c.str("join") == "inner", self: c.str("right_table") == "left", versions: versions}).run(c)
	}
	return play(false, ksVersionStore), play(true, listedVersionStore)
}
