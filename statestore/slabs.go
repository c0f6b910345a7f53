package statestore

import (
	"sync"
	"sync/atomic"
)

// slabPool keeps full-size slabs for the tables of all tasks. As far as it keeps them, they are not
// of Go's heap, where the system has other memory: the collector lets garbage grow to a part of the
// heap, and would do so for slabs, which it need not look into, too.
type slabPool struct {
	mu     sync.Mutex
	free   [][]byte
	keep   int      // slabs to hold on to
	areas  [][]byte // mapped
	mapped map[*byte]bool
	failed bool         // there is none to be had
	bytes  atomic.Int64 // in tables now
}

// areaSlabs is how many slabs are mapped together: a few large pages.
const areaSlabs = 8

func (p *slabPool) get(size int) []byte {
	p.bytes.Add(int64(size))
	if size == slabSize {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.free) == 0 {
			p.extend()
		}
		if n := len(p.free); n > 0 {
			s := p.free[n-1]
			p.free = p.free[:n-1]
			return s
		}
	}
	return make([]byte, 0, size)
}

// extend maps more slabs, as long as all of them would be kept.
func (p *slabPool) extend() {
	if p.failed || (len(p.areas)+1)*areaSlabs > p.keep {
		return
	}
	area, err := mapArea(areaSlabs * slabSize)
	if err != nil { // Go's heap has some
		p.failed = true
		return
	}
	if p.mapped == nil {
		p.mapped = map[*byte]bool{}
	}
	p.areas = append(p.areas, area)
	for at := 0; at < len(area); at += slabSize {
		s := area[at : at : at+slabSize]
		p.mapped[&area[at]] = true
		p.free = append(p.free, s)
	}
}

// put takes a slab back. Nobody may refer to it any more.
func (p *slabPool) put(s []byte) {
	p.bytes.Add(int64(-cap(s)))
	if cap(s) != slabSize {
		return
	}
	p.mu.Lock()
	if len(p.free) < p.keep || p.mapped[&s[:1][0]] {
		p.free = append(p.free, s[:0])
	}
	p.mu.Unlock()
}

// close unmaps what was mapped, if all of it has come back. What has not may still be read.
func (p *slabPool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	back := 0
	for _, s := range p.free {
		if p.mapped[&s[:1][0]] {
			back++
		}
	}
	if back < len(p.areas)*areaSlabs {
		return nil
	}
	p.free, p.mapped, p.failed = nil, nil, true
	var first error
	for _, a := range p.areas {
		if err := unmapArea(a); first == nil {
			first = err
		}
	}
	p.areas = nil
	return first
}
