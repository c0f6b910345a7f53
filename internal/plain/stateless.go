package plain

import "github.com/seed-81380e12/limpet/topology"

// FlatMap passes on any number of values for each.
func (p *Topology) FlatMap(in Stream, f func(value string) []string) Stream {
	out := p.stream(in)
	p.add(func(t *Task) {
		t.hear(in, func(r Record) {
			for _, v := range f(r.Value) {
				r.Value = v
				t.pass(out, r)
			}
		})
	})
	return out
}

// Map passes on one value for each.
func (p *Topology) Map(in Stream, f func(string) string) Stream {
	return p.FlatMap(in, func(v string) []string { return []string{f(v)} })
}

// Filter passes on what keep accepts.
func (p *Topology) Filter(in Stream, keep func(string) bool) Stream {
	return p.FlatMap(in, func(v string) []string {
		if keep(v) {
			return []string{v}
		}
		return nil
	})
}

// Split passes on what test accepts, and in another stream what it does not.
func (p *Topology) Split(in Stream, test func(string) bool) (yes, no Stream) {
	return p.Filter(in, test), p.Filter(in, func(v string) bool { return !test(v) })
}

// Merge passes on the records of two streams.
func (p *Topology) Merge(a, b Stream) Stream {
	out := p.stream(a, b)
	p.add(func(t *Task) {
		for _, in := range []Stream{a, b} {
			t.hear(in, func(r Record) { t.pass(out, r) })
		}
	})
	return out
}

// WithHeaders gives each record other headers.
func (p *Topology) WithHeaders(in Stream, f func(string, topology.Headers) topology.Headers) Stream {
	out := p.stream(in)
	p.add(func(t *Task) {
		t.hear(in, func(r Record) {
			r.Headers = f(r.Value, r.Headers)
			t.pass(out, r)
		})
	})
	return out
}

// KeyBy gives each record another key. Where a join or state follows, it goes on by way of a topic.
func (p *Topology) KeyBy(in Stream, name string, key func(value string) string) Stream {
	return p.rekey(in, name, func(r Record) Key { return Key{Key: key(r.Value)} })
}

// Repartition sends each record through a topic.
func (p *Topology) Repartition(in Stream, name string) Stream {
	return p.rekey(in, name, func(r Record) Key { return r.Key })
}

func (p *Topology) rekey(in Stream, name string, key func(Record) Key) Stream {
	out := p.stream() // what is behind a topic is made of nothing that is in front of it
	p.add(func(t *Task) {
		t.hear(in, func(r Record) {
			r.Key = key(r)
			if t.through(name) {
				t.send(name, r)
			} else {
				t.pass(out, r)
			}
		})
		t.sources[t.App+"-"+name+"-repartition"] = func(in In) { t.pass(out, record(in)) }
	})
	return out
}
