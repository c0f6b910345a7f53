package core

import "bytes"

// due is a heap of keys by time: what closes, expires or is let go first is on top. Ties go
// by a second time, then by the key's bytes, so the order is the same whatever was pushed
// first: after a restart the heap is made of the rows.
type due[K comparable] struct {
	kc     Codec[K]
	list   []dueKey[K]
	ab, bb []byte // two keys that are compared
}

type dueKey[K comparable] struct {
	at, then Time
	key      K
}

func (d *due[K]) clear() {
	clear(d.list)
	d.list = d.list[:0]
}

// next returns the time of the first key, or the greatest time where there is none.
func (d *due[K]) next() Time {
	if len(d.list) == 0 {
		return maxTime
	}
	return d.list[0].at
}

func (d *due[K]) less(a, b *dueKey[K]) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.then != b.then {
		return a.then < b.then
	}
	// A key that is here was encoded before, or came decoded: that it cannot be, is found
	// where its row is sealed.
	d.ab, _ = d.kc.Append(d.ab[:0], a.key)
	d.bb, _ = d.kc.Append(d.bb[:0], b.key)
	return bytes.Compare(d.ab, d.bb) < 0
}

func (d *due[K]) push(e dueKey[K]) {
	d.list = append(d.list, e)
	for i := len(d.list) - 1; i > 0; {
		up := (i - 1) / 2
		if !d.less(&d.list[i], &d.list[up]) {
			break
		}
		d.list[i], d.list[up] = d.list[up], d.list[i]
		i = up
	}
}

func (d *due[K]) pop() dueKey[K] {
	top, n := d.list[0], len(d.list)-1
	d.list[0], d.list[n] = d.list[n], dueKey[K]{}
	d.list = d.list[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && d.less(&d.list[c+1], &d.list[c]) {
			c++
		}
		if !d.less(&d.list[c], &d.list[i]) {
			break
		}
		d.list[i], d.list[c] = d.list[c], d.list[i]
		i = c
	}
	return top
}
