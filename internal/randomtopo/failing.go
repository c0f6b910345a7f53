package randomtopo

import (
	"errors"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

// failing are operators whose functions fail on some values, and go by a policy. Wherever they are, a
// record leads to what fails: what a tick, AdvanceIdle or the end of a commit leads to would stop the task.
// So a topology that has them has none of these.
var failing = []operator{
	{"reject", []string{"OnError"}, func(d *drawing, _ string) {
		d.todo(topology.FlatMap(d.in(), func(s string, out *topology.Out[string]) {
			if unlucky(s) {
				out.Reject(errors.New(s))
			}
			out.Emit(cut(s + "r"))
		}, d.policy()))
	}},
	{"panic", []string{"OnError"}, func(d *drawing, _ string) {
		d.todo(topology.Map(d.in(), func(s string) string {
			if unlucky(s) {
				panic(s)
			}
			return cut(s + "p")
		}, d.policy()))
	}},
	{"astray", []string{"OnError", "PartitionBy"}, func(d *drawing, _ string) {
		d.plain.Unknown()
		d.in().To(Out2, d.policy(), topology.PartitionBy(func(s string, n int) int {
			if unlucky(s) {
				return n
			}
			return len(s) % n
		}))
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

func (d *drawing) policy() topology.Option {
	if d.once(2, "policy") {
		return topology.OnError(topology.Skip)
	}
	return topology.OnError(topology.DeadLetter)
}

// refusals are the ports of a processor whose alarms may fail.
type refusals struct {
	Out     topology.Out[string]
	Soon    topology.Timer
	Refused topology.Rejection
}

func streamTimers(d *drawing, n string) {
	p := topology.NewProcessor(d.in(), n, func(s, v string, p *refusals) string {
		p.Soon.In(time.Duration(len(v)) * 2 * time.Millisecond)
		return cut(s + v)
	}, d.policy())
	p.OnTimer(&p.Ports.Soon, func(s string, p *refusals) string {
		if unlucky(s) {
			p.Refused.Reject(errors.New(s))
		}
		p.Out.Emit(cut(s + "s"))
		return s
	})
	d.todo(topology.Output(p, &p.Ports.Out))
}
