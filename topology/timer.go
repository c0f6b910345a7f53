package topology

import (
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Timer is a port: an alarm for the key in hand, in stream time. What it is set to is
// state: it survives crashes and moves with the task. When the processor's time, which is
// the greatest of the records that reached it, gets there, the step given to OnTimer runs
// for that key, once. Stream time moves with records only, unless the topology says
// AdvanceIdle.
type Timer = core.Timer

// WallTimer is a port: an alarm for the key in hand by the wall clock. The clock's ticks
// are inputs of the task, about ten each second. It goes off at the first tick at or behind
// its time; one whose time came while nothing ran, at the first tick after the start.
type WallTimer = core.WallTimer

// AnyTimer is a *Timer or a *WallTimer.
type AnyTimer = core.AnyTimer

// maxTimers is the default of MaxTimers.
const maxTimers = 1_000_000

// MaxTimers bounds how many timers of a processor may be set in one task; one more stops
// it. The default is 1,000,000. The index of the timers by time is in memory: about 60
// bytes and the key for each.
func MaxTimers(n int) ProcessorOption {
	return processorOption(func(s *settings) { s.maxTimers = &n })
}

// OnTimer steps the processor when a timer goes off. What the step emits has the alarm's
// time, and the headers of the record that set the alarm; a Moment among the ports tells key
// and time. A key has one alarm for each timer: whoever waits for several things keeps them in
// the state, in order, and sets the alarm for the first. A row that TTL has deleted leaves its
// alarm set: the step then gets the zero state.
//
// A stream timer goes off behind the record that moved the time to it or past it, which may be
// one of another key: a step that must not see things that are overdue compares the times
// itself. See the example of Moment.
func (p Processor[K, S, P]) OnTimer(t AnyTimer, step func(S, *P) S, opts ...Option) {
	if p.b == nil {
		zero("OnTimer")
	}
	f := p.plan.field(t)
	switch {
	case f == nil:
		p.b.wrong(p.hub, "the timer given to OnTimer is no field of its Ports: take the address of a field of its Ports")
		return
	case f.connect != nil:
		p.b.wrong(p.hub, "port %s is connected twice: a timer has one step", f.name)
		return
	}
	n := p.b.add("onTimer", "", p.timers)
	n.input, n.name, n.thin, n.label = true, p.hub.name+"."+f.name, true, f.name
	p.b.configure(n, apply(opts), step)
	n.subs, p.hub.ins = append(n.subs, p.hub), append(p.hub.ins, n)
	timer, _ := slices.BinarySearch(p.plan.names, f.name)
	f.connect = func(c *compiler, ps *core.Ports[K, P], at any) {
		core.AddTimer(c.t, c.nodeID(n), ps, p.plan.timers(c), timer, at.(AnyTimer), tableOf[K, S](c, p.hub), step, p.done, stateChanges[K, S](c, p.hub))
	}
}

// addTimers adds the node that has the alarms, if the ports have timers.
func (p *Processor[K, S, P]) addTimers(set settings) {
	for _, f := range p.plan.fields {
		if _, ok := f.addr.(AnyTimer); ok {
			p.plan.names = append(p.plan.names, f.name)
		}
	}
	most := maxTimers
	if set.maxTimers != nil {
		if most = *set.maxTimers; most < 1 {
			p.b.wrong(p.hub, "MaxTimers(%d): it is 1 or more", most)
		}
	}
	if len(p.plan.names) == 0 {
		if set.maxTimers != nil {
			p.b.wrong(p.hub, "MaxTimers without a timer among its ports")
		}
		return
	}
	slices.Sort(p.plan.names)
	n := p.b.add("timers", p.hub.name+"-timers")
	n.input, n.root, n.setBy, p.hub.clock, p.timers = true, true, p.hub, true, n
	kc := or(p.kc)
	alarms := newState(n, core.Codec[core.TimerKey[K]](timerKeyCodec[K]{core.TimerKeyCodec[K]{Names: p.plan.names, Key: kc}}), core.Codec[core.Alarm](alarmCodec{}))
	names := len(p.plan.names)
	p.plan.timers = shared(n, func(c *compiler) *core.Timers[K] {
		return core.NewTimers(c.t, c.nodeID(n), alarms(c), kc, c.clock(p.hub), names, most)
	})
}

// timerKeyCodec has a schema. The timers' names are not part of it, so that a processor may
// get new ones.
type timerKeyCodec[K comparable] struct{ core.TimerKeyCodec[K] }

func (c timerKeyCodec[K]) Schema() string { return "timer(" + codec.SchemaOf(c.Key) + ")" }
func (c timerKeyCodec[K]) Check() error   { return codec.Check(c.Key) }

type alarmCodec struct{ core.AlarmCodec }

func (alarmCodec) Schema() string { return "alarm" }

// AdvanceIdle lets the wall clock move time on where nothing comes: when a task has read all
// that there is, and no record has come for d, its operators' times move to d before the
// clock's, and on from there, until records come again. So windows close, timers go off and
// what is held back is let go without new input. A record that comes then and is older than
// that is late. So d is how long a record may be on its way, at most: from when it happened
// to when it is read, through all topics in between. It is in whole milliseconds.
//
// Off by default: where old records are still to come, as when another topology reads
// its input from the beginning, all of them would be late.
func AdvanceIdle(d time.Duration) BuilderOption {
	return builderOption(func(b *Builder) {
		if b.idle = d; d < time.Millisecond || d%time.Millisecond != 0 {
			b.mistakes = append(b.mistakes, mistake{-1, "AdvanceIdle(" + d.String() + "): it is a millisecond or more, in whole milliseconds"})
		}
	})
}

// clock is the clock of an operator. Those of the nodes behind it come behind it, so that
// what it makes when time is passed on finds them as they were.
func (c *compiler) clock(n *node) *core.Clock {
	if c.clocks[n.id] == nil {
		c.clocks[n.id] = core.NewClock(c.t, n.name)
	}
	return c.clocks[n.id]
}

// makeClocks makes the clocks of all operators, in the order of the data.
func (s *Subtopology) makeClocks(c *compiler) {
	for _, n := range s.clocked {
		c.clock(n)
	}
}
