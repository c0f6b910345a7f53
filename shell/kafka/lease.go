package kafka

import (
	"slices"
	"sync"

	"github.com/seed-81380e12/limpet/core"
)

// lease is the memory of one partition's part of a response: its bytes, its batches as they were
// before they were compressed, and its records, which refer to both. Who has the records gives
// it back with Fetched.Reuse, or leaves it to the garbage collector.
//
// It is worth it: of a record of 200 bytes the fetched bytes and the core.RawRecord are 300 bytes of
// garbage, and what a Go program spends on its collector is about the garbage that it makes.
type lease struct {
	raw     []byte
	bodies  [][]byte
	records []core.RawRecord

	used int // of bodies
}

// size is the memory that it takes.
func (l *lease) size() int {
	n := cap(l.raw) + cap(l.records)*recordBytes
	for _, b := range l.bodies {
		n += cap(b)
	}
	return n
}

// body is memory to decompress a batch to. What comes of it is told to keep.
func (l *lease) body() []byte {
	if l.used == len(l.bodies) {
		l.bodies = append(l.bodies, nil)
	}
	return l.bodies[l.used][:0]
}

// keep notes where a batch was decompressed to.
func (l *lease) keep(body []byte) {
	l.bodies[l.used] = body
	l.used++
}

const (
	// leaseMin is the least response that is read into a lease of others before it: smaller ones
	// come where there is little to do.
	leaseMin = 16 << 10
	// leaseStep is what the memory of a lease is a multiple of, so that the next response of
	// about the same size fits.
	leaseStep = 64 << 10
)

// leases are those that were given back. They are safe for concurrent use.
type leases struct {
	max int // bytes that are kept

	mu    sync.Mutex
	free  []*lease // the oldest first
	bytes int
}

// take is a lease for n bytes: the least that is large enough, or a new one.
func (ls *leases) take(n int) *lease {
	if n < leaseMin {
		return &lease{raw: make([]byte, max(n, 0))}
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	best := -1
	for i, l := range ls.free {
		if size := cap(l.raw); size >= n && (best < 0 || size < cap(ls.free[best].raw)) {
			best = i
		}
	}
	if best < 0 {
		return &lease{raw: make([]byte, n, (n+leaseStep-1)/leaseStep*leaseStep)}
	}
	l := ls.free[best]
	ls.free = slices.Delete(ls.free, best, best+1)
	ls.bytes -= l.size()
	l.raw, l.used = l.raw[:n], 0
	return l
}

// give takes a lease back to which nothing refers.
func (ls *leases) give(l *lease) {
	size := l.size()
	if cap(l.raw) < leaseMin || size > ls.max {
		return
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for ls.bytes+size > ls.max {
		ls.bytes -= ls.free[0].size()
		ls.free = slices.Delete(ls.free, 0, 1)
	}
	ls.free = append(ls.free, l)
	ls.bytes += size
}
