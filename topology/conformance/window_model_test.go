package conformance_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
)

// windowModel is package plain's model of windowed aggregates, which says what the rules of docs/semantics.md make of records, and of
// what Suppress does with its results.
type windowModel struct {
	plain.Windowing
	out      []conformanceRecord
	suppress bool      // results are held back until their window has ended, and grace
	passed   core.Time // greatest time of results
	held     map[modelKey]modelRow
}

type modelKey = topology.Windowed[string]

type modelRow struct {
	value string
	at    core.Time
}

// step returns what goes out for a record.
func (m *windowModel) step(topic string, key, value *string, at core.Time) (lines []string) {
	m.out, m.Late = nil, false
	if key == nil {
		return nil
	}
	m.Emit = func(k plain.Key, _, now plain.Opt, at core.Time) { m.emit(windowed(k), pointer(now), at) }
	m.Step(topic, *key, opt(value), at)
	m.End(topic)
	for _, r := range m.out {
		lines = append(lines, fmt.Sprintf("%s = %s @%d", text(r.Key), text(r.Value), r.At))
	}
	return lines
}

func windowed(k plain.Key) modelKey { return modelKey{Key: k.Key, Start: k.Start, End: k.End} }

func opt(s *string) (o plain.Opt) {
	if o.OK = s != nil; o.OK {
		o.Value = *s
	}
	return o
}

func pointer(o plain.Opt) *string {
	if !o.OK {
		return nil
	}
	return &o.Value
}

// hold is what suppress does with a result.
func (m *windowModel) hold(k modelKey, value *string, at core.Time) {
	if m.held == nil {
		m.held = map[modelKey]modelRow{}
	}
	m.passed = max(m.passed, at)
	m.held[k] = modelRow{text(value), at}
	limit := m.passed - m.Grace
	if m.Kind == plain.Session {
		limit -= m.Size
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

// model is the model of a case.
func (c *windowCase) model() *windowModel {
	m := &windowModel{suppress: c.Op == "suppress-window"}
	m.Grace, m.OnClose, m.Retain = core.Time(c.GraceMs), c.Op == "emit-on-close", core.Time(c.RetentionMs)
	switch c.Window {
	case "time":
		m.Size, m.Advance = core.Time(c.SizeMs), core.Time(c.AdvanceMs)
	case "sliding":
		m.Kind, m.Size = plain.Sliding, core.Time(c.DiffMs)
	case "session":
		m.Kind, m.Size = plain.Session, core.Time(c.GapMs)
	}
	number := func(s *string) int {
		if s == nil {
			return 0
		}
		n, _ := strconv.Atoi(*s)
		return n
	}
	m.Merge = func(a, b string) string {
		switch {
		case c.numbers():
			return strconv.Itoa(number(&a) + number(&b))
		case c.Aggregate == "reduce":
			return a + "+" + b
		}
		return a + "&" + b
	}
	add := func(topic string, a, v *string) *string {
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
	m.Add = func(topic string, was, v plain.Opt) plain.Opt { return opt(add(topic, pointer(was), pointer(v))) }
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
