package core

import (
	"bytes"
	"slices"
)

// calendar is a due for windows: very many keys have the same time, since a window closes for
// all of them at once. They lie together on a page, in the order in which they came, and are
// sorted by their bytes when their time has come, once. Keys beyond a bound are not kept: see
// agenda.
type calendar[K comparable] struct {
	kc     Codec[K]
	n      int // keys
	most   int // of which the later half is forgotten; 0: any number
	far    place
	forgot func()    // called when the later half was forgotten, if not nil
	run    run[K]    // those that came in the order of time, as nearly all do
	pages  []page[K] // a heap by time of the others
	lists  [][]K     // of pages with several keys
	free   []int32   // lists that no page has
	last   page[K]   // that of the key that came last: the next one often belongs to it
	today  page[K]   // the time whose keys are in keys[at:], sorted
	keys   []K
	at     int

	arena []byte // scratch of sort
	refs  []keyRef
	spare []K
}

// page holds keys of one time. Several pages may have the same.
type page[K comparable] struct {
	at, then Time
	key      K     // where there is no list
	list     int32 // one more than the number of a list, or 0
}

// run is a queue of pages, in pieces that are used again.
type run[K comparable] struct {
	pieces [][]page[K] // all but the last are full
	at     int         // so many pages of the first piece are gone
	spare  [][]page[K]
}

const (
	runPiece = 256 // pages
	runSpare = 16  // pieces
)

func (r *run[K]) first() *page[K] {
	if len(r.pieces) == 0 {
		return nil
	}
	return &r.pieces[0][r.at]
}

func (r *run[K]) last() *page[K] {
	if len(r.pieces) == 0 {
		return nil
	}
	piece := r.pieces[len(r.pieces)-1]
	return &piece[len(piece)-1]
}

func (r *run[K]) push(p page[K]) {
	n := len(r.pieces)
	if n == 0 || len(r.pieces[n-1]) == runPiece {
		var piece []page[K]
		if n := len(r.spare); n > 0 {
			piece, r.spare = r.spare[n-1], r.spare[:n-1]
		} else {
			piece = make([]page[K], 0, runPiece)
		}
		r.pieces = append(r.pieces, piece)
		n++
	}
	r.pieces[n-1] = append(r.pieces[n-1], p)
}

func (r *run[K]) pop() page[K] {
	piece := r.pieces[0]
	p := piece[r.at]
	piece[r.at] = page[K]{}
	if r.at++; r.at == len(piece) {
		r.at = 0
		r.pieces = slices.Delete(r.pieces, 0, 1)
		if len(r.spare) < runSpare {
			r.spare = append(r.spare, piece[:0])
		}
	}
	return p
}

func (p *page[K]) before(q *page[K]) bool { return p.at < q.at || p.at == q.at && p.then < q.then }
func (p *page[K]) with(q *page[K]) bool   { return p.at == q.at && p.then == q.then }

type keyRef struct{ from, to, i int32 }

func (c *calendar[K]) clear() {
	c.run = run[K]{}
	clear(c.pages)
	clear(c.lists)
	clear(c.keys)
	c.pages, c.lists, c.free, c.keys, c.at = c.pages[:0], c.lists[:0], c.free[:0], c.keys[:0], 0
	c.last = page[K]{at: NoTime}
	c.n, c.far.some = 0, false
}

// next returns the time of the first key, or the greatest time where there is none.
func (c *calendar[K]) next() Time {
	first := maxTime
	if p := c.first(); p != nil {
		first = p.at
	}
	if c.at < len(c.keys) {
		first = min(first, c.today.at)
	}
	return first
}

// push adds a key, unless it lies far ahead.
func (c *calendar[K]) push(e dueKey[K]) {
	if c.far.some && !c.near(&e) {
		return
	}
	c.put(e)
	if c.n++; c.n > c.most && c.most > 0 {
		c.halve()
	}
}

func (c *calendar[K]) put(e dueKey[K]) {
	p := page[K]{at: e.at, then: e.then}
	switch {
	case c.last.at == NoTime || !p.with(&c.last):
		p.key = e.key
		c.add(p)
	case c.last.list > 0:
		c.lists[c.last.list-1] = append(c.lists[c.last.list-1], e.key)
		return
	default: // the second one of its time
		p.list = c.list()
		c.lists[p.list-1] = append(c.lists[p.list-1], e.key)
		c.add(p)
	}
	c.last = p
}

// list returns an empty list.
func (c *calendar[K]) list() int32 {
	if n := len(c.free); n > 0 {
		i := c.free[n-1]
		c.free = c.free[:n-1]
		return i
	}
	c.lists = append(c.lists, nil)
	return int32(len(c.lists))
}

// add adds a page: behind the others or, where it is earlier, to the heap.
func (c *calendar[K]) add(p page[K]) {
	if last := c.run.last(); last == nil || !p.before(last) {
		c.run.push(p)
		return
	}
	c.pages = append(c.pages, p)
	for i := len(c.pages) - 1; i > 0; {
		up := (i - 1) / 2
		if !c.pages[i].before(&c.pages[up]) {
			break
		}
		c.pages[i], c.pages[up] = c.pages[up], c.pages[i]
		i = up
	}
}

// first is the first page, or nil.
func (c *calendar[K]) first() *page[K] {
	p := c.run.first()
	if len(c.pages) > 0 && (p == nil || c.pages[0].before(p)) {
		return &c.pages[0]
	}
	return p
}

// take removes the first page.
func (c *calendar[K]) take() page[K] {
	if p := c.run.first(); p == c.first() {
		return c.run.pop()
	}
	top, n := c.pages[0], len(c.pages)-1
	c.pages[0], c.pages[n] = c.pages[n], page[K]{}
	c.pages = c.pages[:n]
	for i := 0; ; {
		k := 2*i + 1
		if k >= n {
			break
		}
		if k+1 < n && c.pages[k+1].before(&c.pages[k]) {
			k++
		}
		if !c.pages[k].before(&c.pages[i]) {
			break
		}
		c.pages[i], c.pages[k] = c.pages[k], c.pages[i]
		i = k
	}
	return top
}

// pop removes the first key. There must be one.
func (c *calendar[K]) pop() dueKey[K] {
	if c.at == len(c.keys) {
		c.turn()
	} else if p := c.first(); p != nil && !c.today.before(p) {
		// Something came meanwhile for today, or for a day before it.
		if p.before(&c.today) {
			c.putBack()
		}
		c.turn()
	}
	c.n--
	e := dueKey[K]{c.today.at, c.today.then, c.keys[c.at]}
	var zero K
	c.keys[c.at] = zero
	if c.at++; c.at == len(c.keys) {
		c.keys, c.at = c.keys[:0], 0
	}
	return e
}

// turn takes all pages of the first time, and sorts their keys and what is left of today's.
func (c *calendar[K]) turn() {
	n := copy(c.keys, c.keys[c.at:])
	clear(c.keys[n:])
	c.keys, c.at = c.keys[:n], 0
	p := c.first()
	c.today = page[K]{at: p.at, then: p.then}
	for ; p != nil && p.with(&c.today); p = c.first() {
		p := c.take()
		if p.list == 0 {
			c.keys = append(c.keys, p.key)
			continue
		}
		l := c.lists[p.list-1]
		c.keys = append(c.keys, l...)
		clear(l)
		c.lists[p.list-1] = l[:0]
		c.free = append(c.free, p.list)
	}
	if c.last.with(&c.today) {
		c.last = page[K]{at: NoTime} // its list is free
	}
	c.sort()
}

// putBack makes a page of what is left of today's keys.
func (c *calendar[K]) putBack() {
	p := page[K]{at: c.today.at, then: c.today.then, list: c.list()}
	c.lists[p.list-1] = append(c.lists[p.list-1], c.keys[c.at:]...)
	clear(c.keys)
	c.keys, c.at = c.keys[:0], 0
	c.add(p)
}

// sort sorts keys by their bytes, each of which is made once.
func (c *calendar[K]) sort() {
	if len(c.keys) < 2 {
		return
	}
	c.arena, c.refs = c.arena[:0], c.refs[:0]
	for i, k := range c.keys {
		from := len(c.arena)
		// A key that is here was encoded before, or came decoded: that it cannot be, is found
		// where its row is sealed.
		if b, err := c.kc.Append(c.arena, k); err == nil && b != nil {
			c.arena = b
		}
		c.refs = append(c.refs, keyRef{int32(from), int32(len(c.arena)), int32(i)})
	}
	slices.SortFunc(c.refs, func(a, b keyRef) int {
		return bytes.Compare(c.arena[a.from:a.to], c.arena[b.from:b.to])
	})
	c.spare = append(c.spare[:0], c.keys...)
	for n, r := range c.refs {
		c.keys[n] = c.spare[r.i]
	}
	clear(c.spare)
}
