package core

import "fmt"

// Times says which times the records of a source have; the zero Times are their own.
type Times[K, V any] struct {
	// From, if not nil, makes the time of a record of the record, whose own time it sees.
	From func(Record[K, V]) Time
	// Arrival is the time of the batch's arrival, see Batch.
	Arrival bool
}

// Source attaches the next source of t: its records go to next.
func Source[K, V any](t *Task, topic string, kc Codec[K], vc Codec[V], next Next[K, V]) {
	SourceAt(t, topic, kc, vc, Times[K, V]{}, next)
}

// SourceAt is Source with other times than the records' own. A record that does not decode,
// or on which From panics, has its own time until it is its turn to fail.
func SourceAt[K, V any](t *Task, topic string, kc Codec[K], vc Codec[V], times Times[K, V], next Next[K, V]) {
	n := t.Node(topic, "")
	_, takesNull := vc.(NullDecoder)
	keepsKeys, keepsValues := borrows(kc), borrows(vc)
	kc, vc = borrowing(kc), borrowing(vc)
	s := t.addSource(topic, n, func(tx *Tx, raw *RawRecord) {
		var r Record[K, V]
		var err error
		tx.node = n
		if tx.nullKey = raw.Key == nil; !tx.nullKey {
			if r.Key, err = kc.Decode(raw.Key); err != nil {
				tx.fail(n, fmt.Errorf("%w: key: %w", ErrDecode, err))
				return
			}
		}
		if raw.Value == nil && !takesNull {
			tx.drop(n, NullValue)
			return
		}
		if r.Value, err = vc.Decode(raw.Value); err != nil {
			tx.fail(n, fmt.Errorf("%w: value: %w", ErrDecode, err))
			return
		}
		r.Time, r.Headers = tx.at, HeadersOf(raw.Headers)
		next(tx, r)
	})
	s.keepsKeys, s.keepsValues = keepsKeys, keepsValues
	switch {
	case times.Arrival:
		s.arrival = true
		s.timeOf = func(b *Batch, _ *RawRecord) Time { return b.Arrived }
	case times.From != nil:
		p := &peeked[K, V]{n: n, kc: kc, vc: vc, takesNull: takesNull, from: times.From}
		s.timeOf = p.timeOf
		s.step = func(tx *Tx, raw *RawRecord) {
			if r, ok := p.take(tx, raw); ok {
				next(tx, r)
			}
		}
	}
}

// peeked decodes the next record of a source before it is taken, since what is next depends
// on its time. So each record is decoded once.
type peeked[K, V any] struct {
	n         NodeID
	kc        Codec[K]
	vc        Codec[V]
	takesNull bool
	from      func(Record[K, V]) Time

	raw   *RawRecord // that r, or why there is none, was made of
	r     Record[K, V]
	null  bool // its value is null, and the codec does not take it
	err   error
	stack []byte
}

// timeOf is the time of a record. It cannot fail: what is wrong is said by take.
func (p *peeked[K, V]) timeOf(_ *Batch, raw *RawRecord) Time {
	if p.raw != raw {
		p.peek(raw)
	}
	if p.err != nil || p.null {
		return max(raw.Time, 0)
	}
	return p.r.Time
}

func (p *peeked[K, V]) peek(raw *RawRecord) {
	defer func() {
		if e := recover(); e != nil {
			p.err, p.stack = fmt.Errorf("%w: %v", ErrPanic, e), stackOf()
		}
	}()
	p.raw, p.r, p.err, p.stack = raw, Record[K, V]{Time: raw.Time, Headers: HeadersOf(raw.Headers)}, nil, nil
	p.null = raw.Value == nil && !p.takesNull
	if raw.Key != nil {
		if p.r.Key, p.err = p.kc.Decode(raw.Key); p.err != nil {
			p.err = fmt.Errorf("%w: key: %w", ErrDecode, p.err)
			return
		}
	}
	if p.null {
		return
	}
	if p.r.Value, p.err = p.vc.Decode(raw.Value); p.err != nil {
		p.err = fmt.Errorf("%w: value: %w", ErrDecode, p.err)
		return
	}
	p.r.Time = p.from(p.r)
}

// take is the record that timeOf has looked at.
func (p *peeked[K, V]) take(tx *Tx, raw *RawRecord) (r Record[K, V], ok bool) {
	if p.raw != raw {
		p.peek(raw)
	}
	p.raw = nil // what is read next may lie where it lay
	tx.node, tx.nullKey = p.n, raw.Key == nil
	switch {
	case p.err != nil:
		tx.where, tx.err = p.n, tx.error(p.err, p.stack)
	case p.null:
		tx.drop(p.n, NullValue)
	default:
		return p.r, true
	}
	return r, false
}

// TableSource attaches a source whose records are the rows of tb: the latest by offset
// counts, a null value deletes. Each change goes to next, which may be nil.
func TableSource[K comparable, V any](t *Task, topic string, tb *Table[K, V], next Next[K, Change[V]]) {
	TableSourceAt(t, topic, tb, Times[K, V]{}, next)
}

// TableSourceAt is TableSource with other times than the records' own. A deletion has its
// own time, or that of its arrival. Such a table needs a changelog: its topic does not have
// the times.
func TableSourceAt[K comparable, V any](t *Task, topic string, tb *Table[K, V], times Times[K, V], next Next[K, Change[V]]) {
	n := t.Node(topic, "")
	put := func(tx *Tx, raw *RawRecord, k K, row Opt[V], at Time) {
		if tb.expiry != nil && !tb.expiry.begin(tx, at) {
			return
		}
		i := tb.find(tx, k)
		if i < 0 {
			return
		}
		set(tx, tb, i, row, Record[K, struct{}]{Key: k, Time: at, Headers: HeadersOf(raw.Headers)}, next)
		if row.OK {
			tb.keepRaw(i, raw.Value)
		}
		if tb.expiry != nil {
			tb.expiry.end(tx)
		}
	}
	s := t.addSource(topic, n, func(tx *Tx, raw *RawRecord) {
		tx.node = n
		if tx.nullKey = raw.Key == nil; tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		k, err := tb.kc.Decode(raw.Key)
		if err != nil {
			tx.fail(n, fmt.Errorf("%w: key: %w", ErrDecode, err))
			return
		}
		var row Opt[V]
		if row.OK = raw.Value != nil; row.OK {
			if row.Value, err = tb.vc.Decode(raw.Value); err != nil {
				tx.fail(n, fmt.Errorf("%w: value: %w", ErrDecode, err))
				return
			}
		}
		put(tx, raw, k, row, tx.at)
	})
	s.keepsRows = true // keepRaw
	switch {
	case times.Arrival:
		s.arrival = true
		s.timeOf = func(b *Batch, _ *RawRecord) Time { return b.Arrived }
	case times.From != nil:
		p := &peeked[K, V]{n: n, kc: tb.kc, vc: tb.vc, from: times.From}
		s.timeOf = p.timeOf
		s.step = func(tx *Tx, raw *RawRecord) {
			if p.raw != raw {
				p.peek(raw)
			}
			switch tx.node, tx.nullKey = n, raw.Key == nil; {
			case tx.nullKey:
				tx.drop(n, NullKey)
			case p.err != nil:
				tx.where, tx.err = n, tx.error(p.err, p.stack)
			default:
				put(tx, raw, p.r.Key, Opt[V]{p.r.Value, !p.null}, p.r.Time)
			}
		}
	}
}
