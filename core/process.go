package core

// The operators with a state for each key: the general step, the step with ports, and
// aggregates.

// Process is the general step: from the key's state and a value to the new state and
// what is emitted. A new key has the zero S; a state that done accepts is deleted
// (done may be nil). Each new state goes to changed, which may be nil.
func Process[K comparable, V, S, W any](n NodeID, tb *Table[K, S], step func(S, V, *Out[W]) S, done func(S) bool, next Next[K, W], changed Next[K, Change[S]]) Next[K, V] {
	out := new(Out[W])
	return func(tx *Tx, r Record[K, V]) {
		if tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		i := tb.find(tx, r.Key)
		if i < 0 {
			return
		}
		tx.node = n
		out.begin(tx, n)
		s := step(tb.cells[i].val, r.Value, out)
		if tx.called(n); out.rejected == nil {
			fold(tx, n, tb, i, s, done, Record[K, struct{}]{Key: r.Key, Time: r.Time, Headers: r.Headers}, changed)
		}
		emit(tx, n, out, r.Key, r.Time, r.Headers, next)
	}
}

// Aggregate folds each value into the row of its key. A new key has the zero A, or,
// where first is not nil, what first makes of the value. A row that done accepts is
// deleted (done may be nil).
func Aggregate[K comparable, V, A any](n NodeID, tb *Table[K, A], first func(V) A, add func(A, V) A, done func(A) bool, next Next[K, Change[A]]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		i := tb.find(tx, r.Key)
		if i < 0 {
			return
		}
		tx.node = n
		c := &tb.cells[i]
		var a A
		switch {
		case c.ok:
			a = add(c.val, r.Value)
		case first != nil:
			a = first(r.Value)
		default:
			a = add(a, r.Value)
		}
		if !c.ok && planted("the first record of a key is folded twice") {
			a = add(a, r.Value)
		}
		tx.called(n)
		fold(tx, n, tb, i, a, done, Record[K, struct{}]{Key: r.Key, Time: r.Time, Headers: r.Headers}, next)
	}
}

// fold writes the new state of the row at i, whose time is the greatest of the records
// that it holds (KIP-258), or deletes it where done accepts the state.
func fold[K comparable, S any](tx *Tx, n NodeID, tb *Table[K, S], i int32, s S, done func(S) bool, r Record[K, struct{}], next Next[K, Change[S]]) {
	row, c := Opt[S]{s, true}, &tb.cells[i]
	if done != nil {
		row.OK = !done(s)
		tx.called(n)
	}
	if c.ok {
		r.Time = max(r.Time, c.at)
	}
	set(tx, tb, i, row, r, next)
}

// Ports is what a step with ports emits to and reads from: the user's struct P, of which a
// task has one for each processor, and the machine's ends of its fields.
type Ports[K comparable, P any] struct {
	User    *P
	ports   []port[K]
	moments []*Moment[K]
	timers  *Timers[K] // nil: there are none
}

// begin gets the ports ready for a step of node n on r.
func (ps *Ports[K, P]) begin(tx *Tx, n NodeID, r *Record[K, struct{}]) {
	for _, p := range ps.ports {
		p.begin(tx, n, r.Key)
	}
	for _, m := range ps.moments {
		*m = Moment[K]{key: r.Key, at: r.Time, headers: r.Headers}
	}
	tx.node = n
}

// port is the machine's end of one field of the user's struct.
type port[K comparable] interface {
	begin(tx *Tx, n NodeID, k K)
	rejected() error
	end(tx *Tx, n NodeID, r Record[K, struct{}])
}

// AddOut connects an Out: what it takes goes to next. Ports are emptied in the order in
// which they were added.
func AddOut[K comparable, P, W any](ps *Ports[K, P], out *Out[W], next Next[K, W]) {
	ps.ports = append(ps.ports, &outPort[K, W]{out, next})
}

// AddRow connects a Row to what finds its rows.
func AddRow[K comparable, P, V any](ps *Ports[K, P], row *Row[V], from Lookup[K, V]) {
	p := &rowPort[K, V]{row: row, from: from}
	row.find, row.asOf = p.find, p.asOf
	ps.ports = append(ps.ports, p)
}

// AddMoment connects a Moment.
func AddMoment[K comparable, P any](ps *Ports[K, P], m *Moment[K]) {
	ps.moments = append(ps.moments, m)
}

type outPort[K comparable, W any] struct {
	out  *Out[W]
	next Next[K, W]
}

func (p *outPort[K, W]) begin(tx *Tx, n NodeID, _ K) { p.out.begin(tx, n) }
func (p *outPort[K, W]) rejected() error             { return p.out.rejected }

func (p *outPort[K, W]) end(tx *Tx, n NodeID, r Record[K, struct{}]) {
	emit(tx, n, p.out, r.Key, r.Time, r.Headers, p.next)
}

type rowPort[K comparable, V any] struct {
	row  *Row[V]
	from Lookup[K, V]
	tx   *Tx
	n    NodeID
	k    K
}

func (p *rowPort[K, V]) begin(tx *Tx, n NodeID, k K) { p.tx, p.n, p.k, p.row.known = tx, n, k, false }
func (p *rowPort[K, V]) rejected() error             { return nil }

func (p *rowPort[K, V]) end(*Tx, NodeID, Record[K, struct{}]) {
	p.row.row, p.row.known = Opt[V]{}, false
}

func (p *rowPort[K, V]) asOf(at Time) (row Opt[V]) {
	p.tx.asOf = max(at, NoTime).plus(2)
	row = p.find()
	p.tx.asOf = 0
	return row
}

func (p *rowPort[K, V]) find() (row Opt[V]) {
	row.Value, _, row.OK = p.from(p.tx, p.k)
	p.tx.node = p.n // the step goes on: a panic is its own again
	return row
}

// Row is a port: the row that a table of the same keys has for the key in hand. A step may
// not write to it. It is looked up when it is asked for.
type Row[V any] struct {
	row   Opt[V]
	known bool
	find  func() Opt[V]     // nil in tests
	asOf  func(Time) Opt[V] // nil in tests
}

// RowOf makes a Row for tests.
func RowOf[V any](v V) Row[V] { return Row[V]{row: Some(v), known: true} }

// Get returns the row, or the zero V and false where there is none.
func (r *Row[V]) Get() (V, bool) {
	if !r.known && r.find != nil {
		r.row, r.known = r.find(), true
	}
	return r.row.Value, r.row.OK
}

// AsOf returns the row that is valid at a time, in a table that keeps versions; in another
// one the row as it is. Where there is none, it returns the zero V and false.
func (r *Row[V]) AsOf(at Time) (V, bool) {
	if r.asOf == nil {
		return r.Get()
	}
	row := r.asOf(at)
	return row.Value, row.OK
}

// Moment is a port: key, time and headers of what is in hand, which is the record or the
// alarm that went off. Headers refer to the record's bytes, which never change.
type Moment[K comparable] struct {
	key     K
	at      Time
	headers Headers
}

// MomentOf makes a Moment for tests.
func MomentOf[K comparable](key K, at Time, h ...Headers) Moment[K] {
	m := Moment[K]{key: key, at: at}
	if len(h) > 0 {
		m.headers = h[0]
	}
	return m
}

// Key is the key in hand.
func (m *Moment[K]) Key() K { return m.key }

// Time is that of the record in hand, or what the timer was set to that went off.
func (m *Moment[K]) Time() Time { return m.at }

// Headers are those of the record in hand, or of the record that set the alarm.
func (m *Moment[K]) Headers() Headers { return m.headers }

// AnyMoment is a *Moment, of whatever key.
type AnyMoment interface {
	Port
	isMoment()
}

// Rejection is a port by which a step refuses the record in hand, as Out.Reject does: for steps
// that emit nothing. The zero Rejection is ready to use, in tests too.
type Rejection struct {
	_      noCopy
	reason error
}

// Reject refuses the record in hand: nothing that the step did counts.
func (r *Rejection) Reject(reason error) {
	if r.reason = reason; reason == nil {
		r.reason = errNoReason
	}
}

// Rejected is the reason of a Reject, or nil, for tests.
func (r *Rejection) Rejected() error { return r.reason }

// AddRejection connects a Rejection.
func AddRejection[K comparable, P any](ps *Ports[K, P], r *Rejection) {
	ps.ports = append(ps.ports, rejectionPort[K]{r})
}

type rejectionPort[K comparable] struct{ r *Rejection }

func (p rejectionPort[K]) begin(*Tx, NodeID, K)                 { p.r.reason = nil }
func (p rejectionPort[K]) rejected() error                      { return p.r.reason }
func (p rejectionPort[K]) end(*Tx, NodeID, Record[K, struct{}]) {}

// Port is a field of a processor's ports: a pointer to an Out, a Row, a Rows, a Range, a Moment, a
// Rejection, a Timer or a WallTimer.
type Port interface{ isPort() }

func (*Out[W]) isPort()      {}
func (*Row[V]) isPort()      {}
func (*Moment[K]) isPort()   {}
func (*Moment[K]) isMoment() {}

func (*Rejection) isPort() {}

// ProcessPorts is Process with ports in place of the one Out. Several inputs can share
// the table and the ports.
func ProcessPorts[K comparable, V, S, P any](n NodeID, tb *Table[K, S], ps *Ports[K, P], step func(S, V, *P) S, done func(S) bool, changed Next[K, Change[S]]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		ts := ps.timers
		if ts != nil && !ts.begin(tx, r.Time) {
			return
		}
		i := tb.find(tx, r.Key)
		if i < 0 {
			return
		}
		in := Record[K, struct{}]{Key: r.Key, Time: r.Time, Headers: r.Headers}
		ps.begin(tx, n, &in)
		s := step(tb.cells[i].val, r.Value, ps.User)
		finish(tx, n, tb, i, ps, s, done, in, changed)
		if ts != nil {
			ts.run(tx, streamTimer, ts.clock.at)
		}
	}
}

// finish takes what a step with ports has made.
func finish[K comparable, S, P any](tx *Tx, n NodeID, tb *Table[K, S], i int32, ps *Ports[K, P], s S, done func(S) bool, r Record[K, struct{}], changed Next[K, Change[S]]) {
	if tx.called(n); tx.err != nil {
		return
	}
	for _, p := range ps.ports {
		if err := p.rejected(); err != nil {
			tx.reject(n, err)
			return
		}
	}
	fold(tx, n, tb, i, s, done, r, changed)
	for _, p := range ps.ports {
		p.end(tx, n, r)
	}
}
