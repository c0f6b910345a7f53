package plain

import "maps"

// Policy says what becomes of a record that fails.
type Policy int

// The policies that random topologies have.
const (
	Skip Policy = iota
	DeadLetter
)

// Failure is why a record fails, or what was let go.
type Failure struct {
	Reason string
	policy Policy
	within int // the thing that was let go and failed; 0: it is the record itself
}

// event is an input of a task, and what has failed of it.
type event struct {
	do      func()
	in      *In              // nil: it is no record
	failed  *Failure         // the record
	without map[int]*Failure // by number, what was let go on its way
}

// happen takes an input. Of a record that fails nothing is left, as if it had never been there; of what is let go and fails
// nothing but that the operator is rid of it. Both are had by beginning anew: the task takes all that came before once more,
// without what has failed.
func (t *Task) happen(e *event) {
	t.events = append(t.events, e)
	written := len(t.out)
	for {
		f := t.try(e)
		if f == nil {
			return
		}
		if f.within == 0 {
			e.failed = f
		} else { // what was let go since it began is a part of it
			maps.DeleteFunc(e.without, func(n int, _ *Failure) bool { return n > f.within })
			e.without[f.within] = f
		}
		out := t.out[:written]
		t.begin()
		for _, before := range t.events[:len(t.events)-1] {
			t.try(before)
		}
		t.out, t.now = out, e
		if e.failed != nil {
			t.deadLetter(e.in, f)
			return
		}
	}
}

// try takes an input, up to where something fails.
func (t *Task) try(e *event) (failed *Failure) {
	if e.failed != nil {
		return nil
	}
	if e.without == nil {
		e.without = map[int]*Failure{}
	}
	t.now, t.letGone, t.within = e, 0, 0
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(*Failure)
			if !ok {
				panic(p)
			}
			failed = f
		}
	}()
	e.do()
	return nil
}

// fail ends what is done for the record in hand.
func (t *Task) fail(reason string, policy Policy) {
	panic(&Failure{Reason: reason, policy: policy, within: t.within})
}

// letGo does what comes of a thing that an operator has held and lets go. Where it has failed, nothing comes of it, but what
// the operator does otherwise to be rid of it.
func (t *Task) letGo(f func(), otherwise ...func()) {
	t.letGone++
	if failed := t.now.without[t.letGone]; failed != nil {
		for _, rid := range otherwise {
			rid()
		}
		t.deadLetter(nil, failed)
		return
	}
	outer := t.within
	t.within = t.letGone
	f()
	t.within = outer
}

// Dead says of a dead letter why it is one, and whether it is of something that an operator has held: then it is
// the row that held it, of whose format this package knows nothing.
type Dead struct {
	Reason string
	Held   bool
	Topic  string // of the record in hand
	Offset int64
}

// deadLetter writes a record to the dead letters as it came, where the policy says so; nil is what was held.
func (t *Task) deadLetter(in *In, f *Failure) {
	if f.policy != DeadLetter {
		return
	}
	w := Out{Topic: t.App + "-dead-letter", Dead: &Dead{Reason: f.Reason, Held: in == nil, Topic: t.now.in.Topic, Offset: t.now.in.Offset}}
	if in != nil {
		w.Key, w.Value, w.Time, w.Headers = in.Key, in.Value, in.Time, in.Headers
		if n := t.Partitions(w.Topic); in.Key == nil {
			w.Partition = t.Partition % n
		} else {
			w.Partition = partitionOf(in.Key, n)
		}
	}
	t.out = append(t.out, w)
}

// Failing passes on what f makes of each value, and fails with a reason where it does.
func (p *Topology) Failing(in Stream, reason string, policy Policy, fails func(string) bool, f func(string) string) Stream {
	out := p.stream(in)
	p.add(func(t *Task) {
		t.hear(in, func(r Record) {
			if fails(r.Value) {
				t.fail(reason, policy)
			}
			r.Value = f(r.Value)
			t.pass(out, r)
		})
	})
	return out
}

// Fail rejects the record or the alarm in hand.
func (m *Moment) Fail(policy Policy) { m.run.t.fail("rejected", policy) }
