package randomtopo

import (
	"time"

	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
)

// Steps see their ports as interfaces, so that they are the same for both forms of a topology.

// looking is what a step of a processor sees.
type looking interface {
	row() string // of the key in hand; what is deleted has no value, whether somebody looks at the bool or not
	rowAsOf(at topology.Time) string
	now() topology.Time
	key() string
	between(lo, hi string, f func(k, v string))
	from(lo string, f func(k, v string))
	prefix(begin string, f func(k, v string))
	far(key string) (string, bool)
	emitA(v string)
	emitB(v string)
	emitAtA(at topology.Time, v string)
}

// reader are the ports of a processor that reads a table.
type reader struct {
	Out    topology.Out[string]
	Row    topology.Row[string]
	Moment topology.Moment[string]
}

func toVersionedTable(d *drawing, n string) {
	in, done := d.pick(), func(s string) bool { return len(s)%3 == 0 }
	tb := table{
		topology.ToVersionedTable(in.Stream, n, history, topology.DeleteWhen(done)),
		d.plain.ToVersionedTable(in.plain, plain.Time(history.Milliseconds()), done),
	}
	d.versions(tb)
	step := func(row, then, v string) string { return cut(row + then + v) }
	reads := d.pick()
	p := topology.NewProcessor(reads.Stream, n+"-read", func(_, v string, p *reader) string {
		row, _ := p.Row.Get() // what is deleted has no value, whether somebody looks at the bool or not
		then, _ := p.Row.AsOf(p.Moment.Time() - 5)
		p.Out.Emit(step(row, then, v))
		return v
	})
	topology.Read(p, &p.Ports.Row, tb.Table)
	outs, _ := d.plain.Processor(plain.Processor{
		Name: n + "-read", Outs: 1, Row: tb.plain,
		Inputs: []plain.Input{{In: reads.plain, Step: func(_, v string, m *plain.Moment) string {
			m.Emit(0, step(m.Row(), m.RowAsOf(m.Time-5), v))
			return v
		}}},
	}, tb.plain)
	d.add(topology.Output(p, &p.Ports.Out), outs[0])
}

// ports are those of a processor that looks around.
type ports struct {
	A, B   topology.Out[string]
	Row    topology.Row[string]
	Near   topology.Range[string, string]
	All    topology.Rows[string, string]
	Moment topology.Moment[string]
}

func (p *ports) row() string                        { row, _ := p.Row.Get(); return row }
func (p *ports) rowAsOf(at topology.Time) string    { row, _ := p.Row.AsOf(at); return row }
func (p *ports) now() topology.Time                 { return p.Moment.Time() }
func (p *ports) key() string                        { return p.Moment.Key() }
func (p *ports) far(key string) (string, bool)      { return p.All.Get(key) }
func (p *ports) emitA(v string)                     { p.A.Emit(v) }
func (p *ports) emitB(v string)                     { p.B.Emit(v) }
func (p *ports) emitAtA(at topology.Time, v string) { p.A.EmitAt(at, v) }

func (p *ports) between(lo, hi string, f func(k, v string)) {
	for k, v := range p.Near.Between(lo, hi) {
		f(k, v)
	}
}

func (p *ports) from(lo string, f func(k, v string)) {
	for k, v := range p.Near.From(lo) {
		f(k, v)
	}
}

func (p *ports) prefix(begin string, f func(k, v string)) {
	for k, v := range p.Near.Prefix(begin) {
		f(k, v)
	}
}

// plainPorts are the same of the plain form.
type plainPorts struct{ *plain.Moment }

func (p plainPorts) row() string                                { return p.Row() }
func (p plainPorts) rowAsOf(at topology.Time) string            { return p.RowAsOf(at) }
func (p plainPorts) now() topology.Time                         { return p.Time }
func (p plainPorts) key() string                                { return p.Key }
func (p plainPorts) far(key string) (string, bool)              { return p.Far(key) }
func (p plainPorts) emitA(v string)                             { p.Emit(0, v) }
func (p plainPorts) emitB(v string)                             { p.Emit(1, v) }
func (p plainPorts) emitAtA(at topology.Time, v string)         { p.EmitAt(0, at, v) }
func (p plainPorts) between(lo, hi string, f func(k, v string)) { p.Between(lo, hi, f) }
func (p plainPorts) from(lo string, f func(k, v string))        { p.From(lo, f) }
func (p plainPorts) prefix(begin string, f func(k, v string))   { p.Prefix(begin, f) }

func lookAround(s, v string, p looking) string {
	p.emitA(cut(p.row() + p.rowAsOf(p.now()-5) + v))
	p.between("a", "c", func(k, v string) { p.emitB(cut(k + v)) })
	return v
}

func lookAfar(s, v string, p looking) string {
	if far, ok := p.far(last(v)); ok {
		p.emitAtA(p.now()+3, cut(far+s))
	}
	p.from(p.key(), func(k, _ string) { s += k })
	p.prefix("b", func(k, _ string) { s += k })
	return cut(s + v)
}

func processor(d *drawing, n string) {
	a := d.pick()
	p := topology.NewProcessor(a.Stream, n, func(s, v string, p *ports) string { return lookAround(s, v, p) })
	b := d.pick()
	topology.On(p, b.Stream, func(s, v string, p *ports) string { return lookAfar(s, v, p) })
	rows := d.version()
	topology.Read(p, &p.Ports.Row, rows.Table)
	near := d.ranges[d.choose(len(d.ranges), "range")]
	topology.ReadPartition(p, &p.Ports.Near, near.Table)
	topology.ReadGlobal(p, &p.Ports.All, d.global())
	outs, states := d.plain.Processor(plain.Processor{
		Name: n, Outs: 2, Row: rows.plain, Range: near.plain, Global: Globals.Name(),
		Inputs: []plain.Input{
			{In: a.plain, Step: func(s, v string, m *plain.Moment) string { return lookAround(s, v, plainPorts{m}) }},
			{In: b.plain, Step: func(s, v string, m *plain.Moment) string { return lookAfar(s, v, plainPorts{m}) }},
		},
	}, rows.plain)
	d.add(topology.Output(p, &p.Ports.A), outs[0])
	d.add(topology.Output(p, &p.Ports.B), outs[1])
	d.kept(table{p.State(), states}, n)
}

// alarms are the ports of a processor with timers.
type alarms struct {
	Out    topology.Out[string]
	Soon   topology.Timer
	Idle   topology.WallTimer
	Moment topology.Moment[string]
}

// setting are the timers that a step sets.
type setting interface {
	soonIn(d time.Duration)
	soonAt(at topology.Time)
	soonCancel()
	idleIn(d time.Duration)
	emitA(v string)
	now() topology.Time
}

func (p *alarms) soonIn(d time.Duration)  { p.Soon.In(d) }
func (p *alarms) soonAt(at topology.Time) { p.Soon.At(at) }
func (p *alarms) soonCancel()             { p.Soon.Cancel() }
func (p *alarms) idleIn(d time.Duration)  { p.Idle.In(d) }
func (p *alarms) emitA(v string)          { p.Out.Emit(v) }
func (p *alarms) now() topology.Time      { return p.Moment.Time() }

// The timers of plainPorts, in the order of their names.
const (
	timerIdle = iota
	timerSoon
)

func (p plainPorts) soonIn(d time.Duration)  { p.In(timerSoon, d) }
func (p plainPorts) soonAt(at topology.Time) { p.At(timerSoon, at) }
func (p plainPorts) soonCancel()             { p.Cancel(timerSoon) }
func (p plainPorts) idleIn(d time.Duration)  { p.In(timerIdle, d) }

func setTimers(s, v string, p setting) string {
	switch len(v) {
	case 1:
		p.soonIn(7 * time.Millisecond)
	case 2:
		p.soonAt(p.now() + 2)
	case 3:
		p.soonCancel()
		p.idleIn(30 * time.Millisecond)
	default:
		p.idleIn(5 * time.Millisecond)
	}
	return cut(s + v)
}

func onSoon(s string, p setting) string {
	p.emitA(cut(s + "s"))
	return s
}

func onIdle(s string, p setting) string {
	p.emitA(cut(s + "w"))
	p.soonIn(time.Millisecond)
	return ""
}

func timers(d *drawing, n string) {
	in := d.pick()
	p := topology.NewProcessor(in.Stream, n, func(s, v string, p *alarms) string { return setTimers(s, v, p) }, topology.MaxTimers(1000))
	p.OnTimer(&p.Ports.Soon, func(s string, p *alarms) string { return onSoon(s, p) })
	p.OnTimer(&p.Ports.Idle, func(s string, p *alarms) string { return onIdle(s, p) })
	outs, _ := d.plain.Processor(plain.Processor{
		Name: n, Outs: 1,
		Inputs: []plain.Input{{In: in.plain, Step: func(s, v string, m *plain.Moment) string { return setTimers(s, v, plainPorts{m}) }}},
		Timers: []plain.Timer{
			timerIdle: {Wall: true, Step: func(s string, m *plain.Moment) string { return onIdle(s, plainPorts{m}) }},
			timerSoon: {Step: func(s string, m *plain.Moment) string { return onSoon(s, plainPorts{m}) }},
		},
	})
	out := topology.Output(p, &p.Ports.Out)
	d.add(out, outs[0])
	if d.once(2, "timers per commit") { // what a tick changes waits, and other ticks come behind it: seldom by chance
		told := table{out.ToTable(n + "-told"), d.plain.ToTable(outs[0], n+"-told")}
		d.kept(told, n+"-told")
		d.computed(table{topology.EmitPerCommit(told.Table), d.plain.EmitPerCommit(told.plain)})
	}
}
