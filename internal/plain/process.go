package plain

import (
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

// Processor is a step with ports: several inputs, outputs and timers, and tables to look into.
type Processor struct {
	Name   string
	Inputs []Input
	Outs   int
	Row    Table // the row of the key in hand
	Range  Table // rows of other keys, in the same partition
	Global string
	// Timers are in the order of their names.
	Timers []Timer
}

// Input is a stream, and the step for its records: from the state and a value to the new state.
type Input struct {
	In   Stream
	Step func(state, value string, m *Moment) string
}

// Timer goes off for a key.
type Timer struct {
	Wall bool
	Step func(state string, m *Moment) string
}

// Moment is what a step sees and does, of the record or the alarm in hand.
type Moment struct {
	Key  string
	Time Time

	run     *running
	emitted [][]Record
	set     []*setting // by timer; nil: it is left as it is
}

type setting struct {
	cancel, in bool
	at         Time
}

// Emit emits a value to an output.
func (m *Moment) Emit(out int, v string) { m.EmitAt(out, m.Time, v) }

// EmitAt emits a value with another time.
func (m *Moment) EmitAt(out int, at Time, v string) {
	m.emitted[out] = append(m.emitted[out], Record{Value: v, Time: at})
}

// Row is the row of the key in hand, or "".
func (m *Moment) Row() string {
	row, _ := m.run.t.row(m.run.p.Row, Key{Key: m.Key})
	return row.Value
}

// RowAsOf is the one that was valid at a time.
func (m *Moment) RowAsOf(at Time) string {
	row, _ := m.run.t.rowAsOf(m.run.p.Row, Key{Key: m.Key}, at)
	return row.Value
}

// Rows calls f with the rows of the other table that are in its partition, by key.
func (m *Moment) Rows(f func(key, value string)) {
	rows := m.run.t.kepts[m.run.p.Range].rows
	for _, k := range sorted(rows) {
		f(k.Key, rows[k].Value)
	}
}

// Between are the keys from lo on, before hi; From those from lo on; Prefix those that begin with something.
func (m *Moment) Between(lo, hi string, f func(key, value string)) {
	m.Rows(func(k, v string) {
		if k >= lo && k < hi {
			f(k, v)
		}
	})
}

// From calls f with the rows from a key on.
func (m *Moment) From(lo string, f func(key, value string)) {
	m.Rows(func(k, v string) {
		if k >= lo {
			f(k, v)
		}
	})
}

// Prefix calls f with the rows of keys that begin with something.
func (m *Moment) Prefix(begin string, f func(key, value string)) {
	m.Rows(func(k, v string) {
		if strings.HasPrefix(k, begin) {
			f(k, v)
		}
	})
}

// Far is a row of the global table.
func (m *Moment) Far(key string) (v string, ok bool) {
	v, ok = m.run.t.globals[m.run.p.Global][key]
	return v, ok
}

// In sets a timer to d from now on.
func (m *Moment) In(timer int, d time.Duration) {
	m.set[timer] = &setting{in: true, at: Time(d.Milliseconds())}
}

// At sets a timer to a time.
func (m *Moment) At(timer int, at Time) { m.set[timer] = &setting{at: at} }

// Cancel takes an alarm back.
func (m *Moment) Cancel(timer int) { m.set[timer] = &setting{cancel: true} }

// alarm is a timer that is set for a key.
type alarm struct {
	timer   int
	key     Key
	at      Time
	headers topology.Headers
}

// running is a processor in a task.
type running struct {
	t      *Task
	p      Processor
	outs   []Stream
	states *kept
	at     Time // the greatest of the records
	alarms []alarm
}

// Processor adds a processor: its outputs, and its states as a table.
func (p *Topology) Processor(of Processor, reads ...Table) (outs []Stream, states Table) {
	var from []int
	for _, in := range of.Inputs {
		from = append(from, int(in.In))
	}
	for _, tb := range reads {
		from = append(from, int(tb))
	}
	states = Table(p.handle(from))
	for range of.Outs {
		outs = append(outs, Stream(p.handle(append(from, int(states)))))
	}
	p.add(func(t *Task) {
		run := &running{t: t, p: of, outs: outs, states: t.kept(states, of.Name), at: -1}
		for _, in := range of.Inputs {
			t.hear(in.In, func(r Record) {
				if r.Key.Null {
					return
				}
				run.at = max(run.at, r.Time)
				base := [2]Time{r.Time, t.wall}
				run.step(r.Key, r.Time, r.Headers, base, [2]Time{}, func(s string, m *Moment) string { return in.Step(s, r.Value, m) })
				run.goOff(false, run.at)
			})
		}
		if len(of.Timers) == 0 {
			return
		}
		t.onPass(func(to Time) {
			run.at = max(run.at, to)
			run.goOff(false, run.at)
		})
		t.onTick(func(now Time) {
			run.goOff(true, now)
			run.goOff(false, run.at)
		})
	})
	return outs, states
}

// step runs a step. In counts from base, and an alarm is set to least at least: of timers of stream time, and of wall timers.
func (run *running) step(k Key, at Time, h topology.Headers, base, least [2]Time, f func(state string, m *Moment) string) {
	m := &Moment{Key: k.Key, Time: at, run: run, emitted: make([][]Record, run.p.Outs), set: make([]*setting, len(run.p.Timers))}
	was := run.states.rows[k]
	now := f(was.Value, m)
	run.states.set(k, some(now), max(at, was.Time), h)
	for i, rs := range m.emitted {
		for _, r := range rs {
			run.t.pass(run.outs[i], Record{k, r.Value, r.Time, h})
		}
	}
	for i, s := range m.set {
		if s == nil {
			continue
		}
		run.cancel(i, k)
		kind := 0
		if run.p.Timers[i].Wall {
			kind = 1
		}
		switch {
		case s.cancel:
		case s.in:
			run.alarms = append(run.alarms, alarm{i, k, max(base[kind]+s.at, least[kind]), h})
		default:
			run.alarms = append(run.alarms, alarm{i, k, max(s.at, least[kind]), h})
		}
	}
}

func (run *running) cancel(timer int, k Key) {
	for i, a := range run.alarms {
		if a.timer == timer && a.key == k {
			run.alarms = append(run.alarms[:i:i], run.alarms[i+1:]...)
			return
		}
	}
}

// goOff lets the alarms go off that are due: by time, key and the timer's name; those that are set meanwhile among them.
func (run *running) goOff(wall bool, now Time) {
	for {
		var first *alarm
		for _, a := range run.alarms {
			before := first == nil || a.at < first.at || a.at == first.at && (a.key.Less(first.key) || a.key == first.key && a.timer < first.timer)
			if run.p.Timers[a.timer].Wall == wall && a.at <= now && before {
				first = &a
			}
		}
		if first == nil {
			return
		}
		a := *first
		run.cancel(a.timer, a.key)
		// In counts from the alarm's time; in the step of a wall timer from the greatest of the records, if there was one. An alarm that sets
		// itself again goes off a millisecond later at the earliest, one of the wall clock with another tick.
		base, least := [2]Time{a.at, run.t.wall}, [2]Time{a.at + 1, 0}
		if wall {
			least = [2]Time{0, run.t.wall + 1}
			if run.at >= 0 {
				base[0] = run.at
			}
		}
		run.t.letGo(func() {
			run.step(a.key, a.at, a.headers, base, least, run.p.Timers[a.timer].Step)
		})
	}
}

// JoinGlobal is Join with the row of the key that a function names in a global table.
func (p *Topology) JoinGlobal(in Stream, topic string, left bool, key func(string) string, f func(string, Opt) string) Stream {
	out := p.stream(in)
	p.add(func(t *Task) {
		t.hear(in, func(r Record) {
			row, ok := t.globals[topic][key(r.Value)]
			if ok || left {
				r.Value = f(r.Value, Opt{Value: row, OK: ok})
				t.pass(out, r)
			}
		})
	})
	return out
}
