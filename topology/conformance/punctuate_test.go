package conformance_test

import (
	"fmt"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

func init() { conformanceOps["punctuate"] = punctuateCase }

// punctuation is the state of a processor with schedules: all records have one key.
type punctuation struct {
	Seen      int
	Now       core.Time
	Schedules [2]schedule
}

type schedule struct {
	Runs  bool
	Due   core.Time
	Ticks int // since it was scheduled
}

type punctuatorPorts struct {
	FirstOut, SecondOut topology.Out[string]
	First, Second       topology.Timer
}

// punctuationRule is a schedule as a case tells it.
type punctuationRule struct {
	topic         string
	every, anchor core.Time // anchor -1: none
	atStart       bool
	most          int // ticks; 0: any number
}

// punctuateCase is a schedule for each key, of which there is one: timers that set themselves
// again. That ticks have the time of the record that led to them, and those that were jumped
// over are one, is said in the step.
func punctuateCase(c *conformanceCase) *conformanceSpec {
	var rules []punctuationRule
	for _, p := range c.Params["punctuators"].([]any) {
		m := p.(map[string]any)
		r := punctuationRule{topic: m["topic"].(string), every: core.Time(m["every_ms"].(float64)), anchor: -1, atStart: m["scheduled"] == "at start"}
		if a, ok := m["anchor_ms"].(float64); ok {
			r.anchor = core.Time(a)
		}
		if n, ok := m["cancel_after_ticks"].(float64); ok {
			r.most = int(n)
		}
		rules = append(rules, r)
	}
	timers := func(p *punctuatorPorts) [2]*topology.Timer { return [2]*topology.Timer{&p.First, &p.Second} }
	outs := func(p *punctuatorPorts) [2]*topology.Out[string] {
		return [2]*topology.Out[string]{&p.FirstOut, &p.SecondOut}
	}
	begin := func(s punctuation, i int, now core.Time, p *punctuatorPorts) punctuation {
		if s.Schedules[i].Runs {
			return s
		}
		due := max(0, rules[i].anchor)
		if rules[i].anchor >= 0 && due < now {
			due += ((now-due)/rules[i].every + 1) * rules[i].every
		}
		s.Schedules[i] = schedule{Runs: true, Due: due}
		timers(p)[i].At(due)
		return s
	}
	step := func(s punctuation, r topology.Record[nullable, nullable], p *punctuatorPorts) punctuation {
		for i := range rules {
			if s.Seen == 0 && rules[i].atStart {
				s = begin(s, i, core.NoTime, p)
			}
		}
		s.Seen++
		s.Now = max(s.Now, r.Time)
		for i := range rules {
			switch r.Value.Value {
			case "start":
				s = begin(s, i, s.Now, p)
			case "stop":
				s.Schedules[i].Runs = false
				timers(p)[i].Cancel()
			}
		}
		return s
	}
	tick := func(i int) func(s punctuation, p *punctuatorPorts) punctuation {
		return func(s punctuation, p *punctuatorPorts) punctuation {
			outs(p)[i].EmitAt(s.Now, fmt.Sprintf("tick@%d seen %d", s.Now, s.Seen))
			n := &s.Schedules[i]
			if n.Ticks++; n.Ticks == rules[i].most {
				n.Runs = false
				return s
			}
			n.Due += ((s.Now-n.Due)/rules[i].every + 1) * rules[i].every
			timers(p)[i].At(n.Due)
			return s
		}
	}
	b := topology.New("case")
	all := topology.KeyBy(topology.Records(nullTopic("input").Stream(b)), "all", func(topology.Record[nullable, nullable]) string { return "all" })
	p := topology.NewProcessor(all, "punctuators", step)
	spec := newSpec(b)
	spec.outs = map[string]wireText{}
	for i, out := range outs(p.Ports) {
		p.OnTimer(timers(p.Ports)[i], tick(min(i, len(rules)-1)))
		name := fmt.Sprint("none-", i)
		if i < len(rules) {
			name = rules[i].topic
			spec.outs[name] = wireText{plainText, plainText}
		}
		topology.KeyBy(topology.Output(p, out), fmt.Sprint("named-", i), func(string) string { return name }).To(caseTopic(name))
	}
	return spec
}
