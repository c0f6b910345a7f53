package statestore

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
)

// keyFilter says which keys of a table disk may have, so that most of those that it has not are not looked for there: each of them
// is a seek in every sorted run, some 5 us where rows are mostly new, which is more than all else that such a row costs.
//
// It is a Bloom filter in which a key is five bits of one word, so that to ask is one wait for memory (Putze, Sanders, Singler, "Cache-,
// Hash- and Space-Efficient Bloom Filters", 2007, with blocks of a word). It grows by segments, each as large as two of the one before.
// A key that was deleted stays in it.
//
// Nothing of it is on disk. It is made when a task has looked for so many rows in vain that to read the table's keys once, on a goroutine
// of its own, costs about as much (keysPerMiss); so it is made again in the life of a process only for who needs it.
//
//	worker    asks, and wants one
//	flusher   makes it behind a job, when Pebble has all up to there, and adds the keys of each job from then on
//	fill      adds the keys that Pebble had then
type keyFilter struct {
	db    *pebbleDB
	ready atomic.Bool // all keys of the table are in it
	off   atomic.Bool // it is of no use any more: it has outgrown its memory, or could not be filled

	segments atomic.Pointer[[][]uint64] // the newest last

	mu    sync.Mutex
	room  int      // keys that the newest takes
	bytes int      // of all segments
	back  []func() // gives all memory back
}

const (
	filterKeyBytes = 2         // a key's share of a segment: with 16 bits some 0.5 % of the keys that are not there are looked for all the same
	filterFirst    = 256 << 10 // bytes of the first segment
	filterBatch    = 256       // keys that are added together

	// defaultFilterAfter is how many rows are looked for in vain before a filter is wanted the first time, and filterPatience
	// by how much more after one that became too large.
	defaultFilterAfter = 20_000
	filterPatience     = 8
	// keysPerMiss is how many keys may be read to make a filter, for each row that was looked for in vain: to read a key takes a
	// sixteenth of the time, about.
	keysPerMiss = 16
)

// add adds keys by their hashes. It reports false when the filter is off, or has become too large and is off by that.
func (f *keyFilter) add(hashes []uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range hashes {
		if f.off.Load() {
			return false
		}
		if f.room == 0 && !f.grow() {
			f.off.Store(true)
			return false
		}
		f.room--
		s := *f.segments.Load()
		newest := s[len(s)-1]
		word, bits := place(h, len(newest))
		if old := atomic.LoadUint64(&newest[word]); old&bits != bits {
			atomic.StoreUint64(&newest[word], old|bits)
		}
	}
	return true
}

// grow adds a segment. Its memory is the block cache's, and lies outside of Go's heap where that can be: the collector would run more
// often for it, and need not look into it.
func (f *keyFilter) grow() bool {
	size := filterFirst
	var list [][]uint64
	if s := f.segments.Load(); s != nil {
		list = append(list, *s...)
		size = 2 * 8 * len(list[len(list)-1])
	}
	if size = f.db.filters.take(size); size == 0 {
		return false
	}
	f.back = append(f.back, func() { f.db.filters.give(size) }, f.db.cache.Reserve(size))
	var segment []uint64
	if area, err := mapArea(size); err == nil {
		segment = unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(area))), size/8)
		f.back = append(f.back, func() { _ = unmapArea(area) }) // it fails for what is not mapped alone
	} else {
		segment = make([]uint64, size/8)
	}
	list = append(list, segment)
	f.bytes, f.room = f.bytes+size, size/filterKeyBytes
	f.segments.Store(&list)
	return true
}

// free gives the memory back. It is for the worker alone, which asks; who adds finds the filter off.
func (f *keyFilter) free() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off.Store(true)
	f.segments.Store(nil)
	for _, b := range f.back {
		b()
	}
	f.back, f.bytes, f.room = nil, 0, 0
}

// lacks reports that disk has no row of the key with that hash.
func (f *keyFilter) lacks(h uint64) bool {
	if !f.ready.Load() || f.off.Load() {
		return false
	}
	var s [][]uint64
	if p := f.segments.Load(); p != nil { // nil: disk has no key at all
		s = *p
	}
	for i := len(s) - 1; i >= 0; i-- {
		word, bits := place(h, len(s[i]))
		if atomic.LoadUint64(&s[i][word])&bits == bits {
			return false
		}
	}
	return true
}

// place is the word of a key, and its bits there.
func place(h uint64, words int) (word, bits uint64) {
	return h >> 32 * uint64(words) >> 32, 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63) | 1<<(h>>24&63)
}

// filterMemory is what the filters of all tasks may take together.
type filterMemory struct {
	mu   sync.Mutex
	left int
}

// take takes so much, or what is left of it, in whole pieces of the least size; 0: nothing is.
func (m *filterMemory) take(size int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	size = min(size, m.left/filterFirst*filterFirst)
	m.left -= size
	return size
}

func (m *filterMemory) give(size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left += size
}

// missed is told of a row that was looked for on disk in vain. It is the worker's.
func (t *pebbleTable) missed() {
	f := t.filter.Load()
	if f != nil && !f.off.Load() {
		return // it is being filled, or was wrong about this one
	}
	if f != nil { // it became too large: in vain so far
		f.free()
		t.filter.Store(nil)
		t.misses, t.filterAfter = 0, t.filterAfter*filterPatience
	}
	if t.misses++; t.misses == t.filterAfter {
		t.wanted.Store(int64(t.misses * keysPerMiss))
	}
}

// newFilter makes the filter of a table, when one is wanted. It is called by the flusher alone, when Pebble has all jobs up to here:
// the keys of those are filled in, and it adds those of the next ones.
func (db *pebbleDB) newFilter(t *pebbleTable) {
	most := t.wanted.Swap(0)
	if most == 0 {
		return
	}
	it, err := db.pdb.NewIter(&pebble.IterOptions{LowerBound: t.prefix, UpperBound: after(t.prefix)})
	if err != nil {
		return // who reads next is told
	}
	f := &keyFilter{db: db}
	f.ready.Store(db.cfg.plant.filterEarly)
	t.filter.Store(f)
	db.filling.Go(func() { f.fill(it, len(t.prefix), most) })
}

// fill adds the keys that disk has, if they are no more than that.
func (f *keyFilter) fill(it *pebble.Iterator, prefix int, most int64) {
	full := false
	hashes := make([]uint64, 0, filterBatch)
	for ok := it.First(); ok && !full; ok = it.Next() {
		if hashes = append(hashes, maphash.Bytes(f.db.seed, it.Key()[prefix:])); len(hashes) == filterBatch {
			most -= filterBatch
			full = !f.add(hashes) || most < 0
			hashes = hashes[:0]
		}
	}
	full = full || !f.add(hashes)
	if err := it.Close(); err != nil || full { // who reads the row in question will be told
		f.off.Store(true)
		return
	}
	f.ready.Store(true)
}
