package core

import (
	"bytes"
	"fmt"
	"iter"
)

// PrefixCodec is a codec of keys that have a first part: AppendPrefix appends what the bytes
// of all keys with the same first part as k begin with, and those of no other key.
type PrefixCodec[K any] interface {
	Codec[K]
	AppendPrefix(dst []byte, k K) ([]byte, error)
}

// Range is a port: rows of a table by their keys' order, which is that of the bytes that the
// table's codec writes. It finds the rows of the task's partition, as they are when the record
// in hand is stepped. A step may not write to them.
type Range[K comparable, V any] struct {
	_     noCopy
	rows  func(*cursor[K, V]) // reads a page; nil in tests
	tests []rangeRow[K, V]
	kc    Codec[K]
	free  []*cursor[K, V]
	used  []*cursor[K, V]
}

type rangeRow[K, V any] struct {
	k K
	v V
}

// SetRows gives a Range for tests its rows. The codec is that of the table's keys.
func (r *Range[K, V]) SetRows(kc Codec[K], rows iter.Seq2[K, V]) {
	r.kc, r.tests = kc, nil
	for k, v := range rows {
		r.tests = append(r.tests, rangeRow[K, V]{k, v})
	}
}

// Between returns the rows with lo <= key < hi.
//
// A loop over it allocates nothing, nor does one over the others: they are small enough to be inlined, so
// that neither the sequence nor the loop's body leaves the stack.
func (r *Range[K, V]) Between(lo, hi K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { r.between(lo, hi, yield) }
}

// From returns the rows with lo <= key.
func (r *Range[K, V]) From(lo K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { r.from(lo, yield) }
}

// Prefix returns the rows whose keys begin as k does: of pairs, those with the same first
// part; where the codec knows no parts, those whose bytes begin with all of k's.
func (r *Range[K, V]) Prefix(k K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { r.prefix(k, yield) }
}

func (r *Range[K, V]) between(lo, hi K, yield func(K, V) bool) {
	c := r.cursor()
	if c.lo, c.err = r.kc.Append(c.lo[:0], lo); c.err == nil {
		c.hi, c.err = r.kc.Append(c.hi[:0], hi)
	}
	c.each(yield)
}

func (r *Range[K, V]) from(lo K, yield func(K, V) bool) {
	c := r.cursor()
	c.lo, c.err = r.kc.Append(c.lo[:0], lo)
	c.open = true
	c.each(yield)
}

func (r *Range[K, V]) prefix(k K, yield func(K, V) bool) {
	c := r.cursor()
	if pc, ok := r.kc.(PrefixCodec[K]); ok {
		c.lo, c.err = pc.AppendPrefix(c.lo[:0], k)
	} else {
		c.lo, c.err = r.kc.Append(c.lo[:0], k)
	}
	c.hi = append(c.hi[:0], c.lo...)
	for n := len(c.hi); ; n-- {
		if n == 0 { // there is nothing behind
			c.open = true
			break
		}
		if c.hi[n-1]++; c.hi[n-1] != 0 {
			c.hi = c.hi[:n]
			break
		}
	}
	c.each(yield)
}

// cursor is one range on its way. It reads a page at a time, so that a step may look at other
// rows meanwhile. Cursors are used again when the record is done.
type cursor[K comparable, V any] struct {
	r      *Range[K, V]
	lo, hi []byte
	at     []byte // the page's lower bound
	open   bool   // hi is no bound
	err    error
	page   []rangeRow[K, V]
	more   bool // behind the page
	take   func(K, V, Time) bool
}

const rangePage = 128

func (r *Range[K, V]) cursor() *cursor[K, V] {
	if r.kc == nil {
		panic("core: a Range that is not connected: in a test, SetRows gives it rows")
	}
	var c *cursor[K, V]
	if n := len(r.free); n > 0 {
		c, r.free = r.free[n-1], r.free[:n-1]
		c.open, c.err = false, nil
	} else {
		c = &cursor[K, V]{r: r, lo: []byte{}, hi: []byte{}} // never nil: that would be no bound
		c.take = c.add
	}
	r.used = append(r.used, c)
	return c
}

// release ends all cursors.
func (r *Range[K, V]) release() {
	for _, c := range r.used {
		clear(c.page)
		r.free = append(r.free, c)
	}
	r.used = r.used[:0]
}

func (c *cursor[K, V]) add(k K, v V, _ Time) bool {
	if c.more = len(c.page) == rangePage; c.more {
		return false
	}
	c.page = append(c.page, rangeRow[K, V]{k, v})
	return true
}

// each walks the range.
func (c *cursor[K, V]) each(yield func(K, V) bool) {
	c.at = append(c.at[:0], c.lo...)
	for {
		c.page, c.more = c.page[:0], false
		if c.r.rows != nil {
			c.r.rows(c)
		} else {
			c.test()
		}
		for i := range c.page {
			if !yield(c.page[i].k, c.page[i].v) {
				return
			}
		}
		if !c.more {
			return
		}
		c.at, _ = c.r.kc.Append(c.at[:0], c.page[len(c.page)-1].k) // it came from there
		c.at = append(c.at, 0)
	}
}

// test finds the rows of a test.
func (c *cursor[K, V]) test() {
	if c.err != nil {
		panic(c.err)
	}
	for {
		var best *rangeRow[K, V]
		var key []byte
		for i := range c.r.tests {
			b, err := c.r.kc.Append(nil, c.r.tests[i].k)
			if err == nil && bytes.Compare(b, c.at) >= 0 && (c.open || bytes.Compare(b, c.hi) < 0) && (best == nil || bytes.Compare(b, key) < 0) {
				best, key = &c.r.tests[i], b
			}
		}
		if best == nil || !c.add(best.k, best.v, 0) {
			return
		}
		c.at = append(append(c.at[:0], key...), 0)
	}
}

// AddRange connects a Range to what finds its rows; kc is the table's codec of keys.
func AddRange[K, K2 comparable, P, V any](ps *Ports[K, P], r *Range[K2, V], kc Codec[K2], from Scanner[K2, V]) {
	p := &rangePort[K, K2, V]{r: r, from: from}
	r.kc, r.rows = kc, p.rows
	ps.ports = append(ps.ports, p)
}

type rangePort[K, K2 comparable, V any] struct {
	r    *Range[K2, V]
	from Scanner[K2, V]
	tx   *Tx
	n    NodeID
}

func (p *rangePort[K, K2, V]) begin(tx *Tx, n NodeID, _ K) {
	p.tx, p.n = tx, n
	p.r.release()
}

func (p *rangePort[K, K2, V]) rejected() error                      { return nil }
func (p *rangePort[K, K2, V]) end(*Tx, NodeID, Record[K, struct{}]) { p.r.release() }

func (p *rangePort[K, K2, V]) rows(c *cursor[K2, V]) {
	hi := c.hi
	if c.open {
		hi = nil
	}
	if c.err != nil {
		p.tx.fail(p.n, fmt.Errorf("%w: bound of a range: %w", ErrEncode, c.err))
	} else {
		p.from(p.tx, c.at, hi, c.take)
	}
	p.tx.node = p.n // the step goes on: a panic is its own again
}

func (*Range[K, V]) isPort() {}
