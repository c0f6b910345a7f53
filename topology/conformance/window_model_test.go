package conformance_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// windowModel is a dumb model of windowed aggregates: it looks through all rows. It says what the rules of docs/semantics.md make of records.
type windowModel struct {
	kind                 string // time, sliding, session
	size, advance, grace core.Time
	onClose              bool
	retain               core.Time // rows are kept that long
	// strict: rows are those of Kafka Streams' store, which shows none that is older than its
	// retention, by the newest one that was ever put; see docs/semantics.md, "retention".
	strict    bool
	retention core.Time
	newest    core.Time
	// add makes a new aggregate; nil is none.
	add   func(topic string, a, v *string) *string
	merge func(a, b string) string

	rows     map[modelKey]modelRow
	now      map[string]core.Time
	done     map[modelKey]bool // emitted
	out      []conformanceRecord
	late     bool      // the last record entered no window
	suppress bool      // results are held back until their window has ended, and grace
	passed   core.Time // greatest time of results
	held     map[modelKey]modelRow
}

type modelKey = topology.Windowed[string]

type modelRow struct {
	value string
	at    core.Time
}

func (m *windowModel) clock(topic string) core.Time {
	if m.onClose {
		topic = "" // what is final is so for all inputs
	}
	return m.now[topic]
}

// step returns what goes out for a record.
func (m *windowModel) step(topic string, key, value *string, at core.Time) (lines []string) {
	m.out, m.late = nil, false
	if key == nil || value == nil && m.kind == "sliding" {
		return nil
	}
	if m.rows == nil {
		m.rows, m.now, m.done = map[modelKey]modelRow{}, map[string]core.Time{}, map[modelKey]bool{}
		m.newest = -1 << 40
	}
	for _, name := range []string{"", topic} {
		if old, ok := m.now[name]; !ok || at > old {
			m.now[name] = at
		}
	}
	limit := m.clock(topic) - m.grace
	switch m.kind {
	case "time":
		m.late = true
		for start := core.Time(0); start <= at; start += m.advance {
			if far := (at - m.size) / m.advance * m.advance; start < far {
				start = far
			}
			if start+m.size > at && start+m.size > limit {
				m.late = false
				m.put(modelKey{Key: *key, Start: start, End: start + m.size}, topic, value, at)
			}
		}
	case "session":
		m.session(*key, topic, value, at, limit-m.size)
	case "sliding":
		m.sliding(*key, topic, value, at, limit)
	}
	if m.onClose {
		m.out = nil
		m.close(limit)
	}
	m.expire()
	for _, r := range m.out {
		lines = append(lines, fmt.Sprintf("%s = %s @%d", text(r.Key), text(r.Value), r.At))
	}
	return lines
}

// expire drops the rows that no record of the fastest input can change any more, directly or
// by way of another row: a slower input begins them anew. No others go.
func (m *windowModel) expire() {
	if m.strict {
		m.hide()
		return
	}
	maps.DeleteFunc(m.rows, func(k modelKey, _ modelRow) bool {
		now := m.now[""]
		switch m.kind {
		case "time":
			return k.Start <= now/m.advance*m.advance-max(m.retain, m.grace+m.size)
		case "session":
			return k.End <= now-max(m.retain, m.grace+m.size+1)
		}
		return k.Start <= now-max(m.retain, m.grace+3*m.size+1)
	})
}

// base is the time by which a store goes.
func (m *windowModel) base(k modelKey) core.Time {
	if m.kind == "session" {
		return k.End
	}
	return k.Start
}

// hide drops the rows that Kafka Streams' store does not show any more. What is put behind that
// is not shown either.
func (m *windowModel) hide() {
	maps.DeleteFunc(m.rows, func(k modelKey, _ modelRow) bool { return m.base(k) <= m.newest-m.retention })
}

// hold is what suppress does with a result.
func (m *windowModel) hold(k modelKey, value *string, at core.Time) {
	if m.held == nil {
		m.held = map[modelKey]modelRow{}
	}
	m.passed = max(m.passed, at)
	m.held[k] = modelRow{text(value), at}
	limit := m.passed - m.grace
	if m.kind == "session" {
		limit -= m.size
	}
	var ks []modelKey
	for k := range m.held {
		if k.End <= limit {
			ks = append(ks, k)
		}
	}
	slices.SortFunc(ks, func(a, b modelKey) int {
		if a.End != b.End {
			return int(a.End - b.End)
		}
		if a.Key != b.Key {
			return strings.Compare(a.Key, b.Key)
		}
		return int(a.Start - b.Start)
	})
	for _, k := range ks {
		if m.held[k].value != "null" {
			m.send(k, some(m.held[k].value), m.held[k].at)
		}
		delete(m.held, k)
	}
}

func (m *windowModel) emit(k modelKey, value *string, at core.Time) {
	if m.suppress {
		m.hold(k, value, at)
		return
	}
	m.send(k, value, at)
}

func (m *windowModel) send(k modelKey, value *string, at core.Time) {
	m.out = append(m.out, conformanceRecord{"out", some(k.String()), value, at})
}

// put adds a value to a row.
func (m *windowModel) put(k modelKey, topic string, value *string, at core.Time) {
	var old *string
	if r, ok := m.rows[k]; ok {
		old, at = &r.value, max(at, r.at)
	}
	m.write(k, m.add(topic, old, value), at)
}

func (m *windowModel) write(k modelKey, value *string, at core.Time) {
	delete(m.rows, k)
	if value != nil {
		m.rows[k] = modelRow{*value, at}
	}
	if m.newest = max(m.newest, m.base(k)); m.strict {
		m.hide()
	}
	m.emit(k, value, at)
}

// keys are those of all rows of a key, by end and start.
func (m *windowModel) keys(key string) []modelKey {
	ks := slices.DeleteFunc(slices.Collect(maps.Keys(m.rows)), func(k modelKey) bool { return k.Key != key })
	slices.SortFunc(ks, func(a, b modelKey) int { return int(a.End-b.End)*1000 + int(a.Start-b.Start) })
	return ks
}

func (m *windowModel) session(key, topic string, value *string, at, limit core.Time) {
	k := modelKey{Key: key, Start: at, End: at}
	var near []modelKey
	var acc *string
	for _, o := range m.keys(key) {
		if (m.strict || o.End >= limit || o.End > m.now[""]-m.retain) && o.End >= at-m.size && o.Start <= at+m.size {
			near = append(near, o)
			k.Start, k.End = min(k.Start, o.Start), max(k.End, o.End)
		}
	}
	if m.late = k.End < limit; m.late {
		return
	}
	for _, o := range near {
		v := m.rows[o].value
		if acc != nil {
			v = m.merge(*acc, v)
		}
		acc = &v
		if k.Start != at || k.End != at {
			m.write(o, nil, o.End)
		}
	}
	m.write(k, m.add(topic, acc, value), k.End)
}

// sliding goes through the windows from early to late, and puts what it does into the order
// that is asked for.
func (m *windowModel) sliding(key, topic string, value *string, at, limit core.Time) {
	m.late = true
	if at+m.size < limit {
		return
	}
	enter := func(start core.Time, base *string, baseAt core.Time) {
		if start+m.size < limit {
			return
		}
		if m.late = false; base != nil {
			baseAt = max(baseAt, at)
		} else {
			baseAt = at
		}
		m.write(modelKey{Key: key, Start: start, End: start + m.size}, m.add(topic, base, value), baseAt)
	}
	early := at < m.size
	prev := core.NoTime
	var left, right, zero *string
	var rightAt, zeroAt core.Time
	var hold []core.Time // windows that hold the record's time
	starts := map[core.Time]bool{}
	for _, k := range m.keys(key) {
		r := m.rows[k]
		if k.Start > at+1 || k.End < at-m.size {
			continue
		}
		starts[k.Start] = true
		switch {
		case early && k.Start == 0:
			if zero, zeroAt = &r.value, r.at; r.at < at {
				prev = r.at
			}
		case k.Start > at:
		case k.End < at:
			left, prev = &r.value, r.at
		default:
			if k.End == at && r.at < at && left == nil { // else the one before tells it
				prev = r.at
			}
			if k.End > at || early {
				right, rightAt = &r.value, r.at
			}
			hold = append(hold, k.Start)
		}
	}
	behind := func() {
		if right != nil && rightAt > at && !starts[at+1] {
			m.late = false
			m.write(modelKey{Key: key, Start: at + 1, End: at + 1 + m.size}, right, rightAt)
		}
	}
	each := func(start core.Time) {
		r := m.rows[modelKey{Key: key, Start: start, End: start + m.size}]
		enter(start, &r.value, r.at)
	}
	if early {
		for _, s := range hold {
			each(s)
		}
		if right == nil && zero != nil && zeroAt > at {
			right, rightAt = zero, zeroAt
		}
		behind()
		if prev != core.NoTime && !starts[prev+1] {
			enter(prev+1, nil, 0)
		}
		enter(0, zero, zeroAt)
		return
	}
	for _, s := range slices.Backward(hold) {
		each(s)
	}
	if prev != core.NoTime && prev+1+m.size >= at && !starts[prev+1] {
		enter(prev+1, nil, 0)
	}
	if !starts[at-m.size] {
		if prev == core.NoTime || prev < at-m.size {
			left = nil
		}
		enter(at-m.size, left, 0)
	}
	behind()
}

// close emits what has closed.
func (m *windowModel) close(limit core.Time) {
	var ks []modelKey
	for k := range m.rows {
		closed := k.End < limit
		switch m.kind {
		case "time":
			closed = k.End <= limit
		case "session":
			closed = k.End < limit-m.size
		}
		if closed && !m.done[k] {
			ks = append(ks, k)
		}
	}
	slices.SortFunc(ks, func(a, b modelKey) int {
		x, y := []core.Time{a.Start}, []core.Time{b.Start}
		if m.kind == "session" {
			x, y = []core.Time{a.End, a.Start}, []core.Time{b.End, b.Start}
		}
		if c := slices.Compare(x, y); c != 0 {
			return c
		}
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	for _, k := range ks {
		m.done[k] = true
		v := m.rows[k].value
		m.emit(k, &v, m.rows[k].at)
	}
}

// model is the model of a case.
func (c *windowCase) model() *windowModel {
	m := &windowModel{kind: c.Window, grace: core.Time(c.GraceMs), onClose: c.Op == "emit-on-close", retain: core.Time(c.RetentionMs), suppress: c.Op == "suppress-window"}
	switch c.Window {
	case "time":
		m.size, m.advance = core.Time(c.SizeMs), core.Time(c.AdvanceMs)
	case "sliding":
		m.size = core.Time(c.DiffMs)
	case "session":
		m.size = core.Time(c.GapMs)
	}
	number := func(s *string) int {
		if s == nil {
			return 0
		}
		n, _ := strconv.Atoi(*s)
		return n
	}
	m.merge = func(a, b string) string {
		switch {
		case c.numbers():
			return strconv.Itoa(number(&a) + number(&b))
		case c.Aggregate == "reduce":
			return a + "+" + b
		}
		return a + "&" + b
	}
	m.add = func(topic string, a, v *string) *string {
		switch c.Aggregate {
		case "count":
			return some(strconv.Itoa(number(a) + 1))
		case "sum":
			return some(strconv.Itoa(number(a) + number(v)))
		case "reduce":
			if a == nil {
				return v
			}
			return some(*a + "+" + text(v))
		}
		if c.Aggregate == "concat-reset" && v != nil && *v == "x" {
			return nil
		}
		sum, sep := "", "|"
		if a != nil {
			sum = *a
			if c.Window == "session" {
				sum = "&" + sum
			}
		}
		if topic == "second" {
			sep = "/"
		}
		return some(sum + sep + text(v))
	}
	return m
}

// play runs the model over a case.
func (m *windowModel) play(c *windowCase) (outs [][]string) {
	for _, in := range c.ins {
		outs = append(outs, m.step(in.Topic, in.Key, in.text(), core.Time(in.Ts)))
	}
	return outs
}

func (in windowIn) text() *string {
	if in.Value == nil {
		return nil
	}
	return some(textOf(in.Value))
}

// steps are a case's steps with what the model makes of them.
func (m *windowModel) steps(c *windowCase, steps []conformanceStep) (res []conformanceStep) {
	n := 0
	for _, s := range steps {
		want := map[string][]conformanceRecord{}
		for range s.In {
			in := c.ins[n]
			n++
			key, value := in.Key, in.text()
			if c.Shape == "selectKey-window" {
				k, _ := newKey(topology.Opt[string]{Value: text(value), OK: value != nil})
				if key = nil; k != "" {
					key = &k
				}
			}
			m.step(in.Topic, key, value, core.Time(in.Ts))
			want["out"] = append(want["out"], m.out...)
		}
		res = append(res, conformanceStep{s.In, want})
	}
	return res
}
