package randomtopo

import (
	"errors"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
)

// failing are operators whose functions fail on some values, and go by a policy. Wherever they are, a
// record leads to what fails: what a tick, AdvanceIdle or the end of a commit leads to would stop the task.
// So a topology that has them has none of these.
var failing = []operator{
	{"reject", []string{"OnError"}, func(d *drawing, _ string) {
		in, f := d.pick(), func(s string) string { return cut(s + "r") }
		onError, plainly := d.policy()
		d.add(topology.FlatMap(in.Stream, func(s string, out *topology.Out[string]) {
			if unlucky(s) {
				out.Reject(errors.New(s))
			}
			out.Emit(f(s))
		}, onError), d.plain.Failing(in.plain, "rejected", plainly, unlucky, f))
	}},
	{"panic", []string{"OnError"}, func(d *drawing, _ string) {
		in, f := d.pick(), func(s string) string { return cut(s + "p") }
		onError, plainly := d.policy()
		d.add(topology.Map(in.Stream, func(s string) string {
			if unlucky(s) {
				panic(s)
			}
			return f(s)
		}, onError), d.plain.Failing(in.plain, "panic", plainly, unlucky, f))
	}},
	{"astray", []string{"OnError", "PartitionBy"}, func(d *drawing, _ string) {
		in, by := d.pick(), func(s string, n int) int { return len(s) % n }
		onError, plainly := d.policy()
		in.To(Out2, onError, topology.PartitionBy(func(s string, n int) int {
			if unlucky(s) {
				return n
			}
			return by(s, n)
		}))
		d.plain.To(d.plain.Failing(in.plain, "misrouted", plainly, unlucky, same), Out2.Name(), plain.Route{Partition: by})
	}},
	{"streamTimers", []string{"NewProcessor", "Processor.OnTimer", "Timer", "Rejection"}, streamTimers},
}

// tickers are operators that lead to something where no record does.
var tickers = []string{"emitPerCommit", "timers"}

// withFailing are operators, and failing ones in place of those that go on where no record comes.
func withFailing(operators []operator) []operator {
	rest := slices.DeleteFunc(slices.Clone(operators), func(op operator) bool { return slices.Contains(tickers, op.name) })
	for range 5 { // often
		rest = append(rest, failing...)
	}
	return rest
}

// unlucky says which values fail: about one in five.
func unlucky(s string) bool {
	sum := 0
	for _, c := range []byte(s) {
		sum += int(c)
	}
	return sum%5 == 0
}

func (d *drawing) policy() (topology.Option, plain.Policy) {
	if d.once(2, "policy") {
		return topology.OnError(topology.Skip), plain.Skip
	}
	return topology.OnError(topology.DeadLetter), plain.DeadLetter
}

// refusals are the ports of a processor whose alarms may fail.
type refusals struct {
	Out     topology.Out[string]
	Soon    topology.Timer
	Refused topology.Rejection
}

func streamTimers(d *drawing, n string) {
	in := d.pick()
	onError, plainly := d.policy()
	after := func(v string) time.Duration { return time.Duration(len(v)) * 2 * time.Millisecond }
	p := topology.NewProcessor(in.Stream, n, func(s, v string, p *refusals) string {
		p.Soon.In(after(v))
		return cut(s + v)
	}, onError)
	p.OnTimer(&p.Ports.Soon, func(s string, p *refusals) string {
		if unlucky(s) {
			p.Refused.Reject(errors.New(s))
		}
		p.Out.Emit(cut(s + "s"))
		return s
	})
	outs, _ := d.plain.Processor(plain.Processor{
		Name: n, Outs: 1,
		Inputs: []plain.Input{{In: in.plain, Step: func(s, v string, m *plain.Moment) string {
			m.In(0, after(v))
			return cut(s + v)
		}}},
		Timers: []plain.Timer{{Step: func(s string, m *plain.Moment) string {
			if unlucky(s) {
				m.Fail(plainly)
			}
			m.Emit(0, cut(s+"s"))
			return s
		}}},
	})
	d.add(topology.Output(p, &p.Ports.Out), outs[0])
}
