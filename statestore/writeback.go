package statestore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"

	"github.com/seed-81380e12/limpet/core"
)

// table holds rows in memory: those that disk does not have yet (dirty), and copies of
// those that it has (clean). It is an open-addressing hash table over slabs without
// pointers, so the garbage collector does not look into it, and writing it allocates
// nothing once its slabs are there.
//
// A row lies in a slab as
//
//	capacity32 valueLen32 flags8:keyLen24 | key | timestamp64 value...
//
// or, in a table whose rows come due by what is in them,
//
//	capacity32 valueLen32 flags8:keyLen24 | key | due128 | timestamp64 value...
//
// where due is when the row comes due that disk has, and all ones where it has none;
// with timestamp and value as they go to disk, and its size a multiple of 8. A value
// that outgrows its capacity moves the row; the old place is dead until reset. A slot is
// 32 bits of hash and 32 of ref, which is never 0.
type table struct {
	slots []uint64
	mask  uint32
	rows  int // slots in use

	slabs [][]byte // len is what is used
	cur   int      // the slab that takes small rows
	many  bool     // it had several slabs before it was reset
	used  int      // bytes of all rows, dead ones too

	dirty int // bytes of the dirty rows

	order *order         // of all rows by key; nil until somebody scans a part of the table
	due   *core.DueOrder // nil, unless rows come due by what is in them

	pool *slabPool
}

const (
	flagDirty  = 1 << 24 // disk does not have the row like this
	flagAbsent = 1 << 25 // there is no such row
	flagUnborn = 1 << 26 // disk has no row of that key
	flagDead   = 1 << 27 // the row has moved
	flagBorn   = 1 << 28 // disk has a row of that key
	flagDue    = 1 << 29 // it is said when disk's row comes due
	keyMask    = 1<<24 - 1

	rowHead  = 12
	slabBits = 20 // a slab has at most 1 MiB, except for one that holds a single large row
	slabSize = 1 << slabBits
	slabMin  = 16 << 10
	largeRow = slabSize / 4

	refUnit  = 8
	refBits  = slabBits - 3
	slabsMax = 1<<(32-refBits) - 2 // 32 GiB: what a ref can reach
)

// row is a row's bytes from its head on, to the end of the slab.
type row []byte

func (r row) capacity() int     { return int(binary.LittleEndian.Uint32(r)) }
func (r row) valueLen() int     { return int(binary.LittleEndian.Uint32(r[4:])) }
func (r row) tag() uint32       { return binary.LittleEndian.Uint32(r[8:]) }
func (r row) setTag(tag uint32) { binary.LittleEndian.PutUint32(r[8:], tag) }
func (r row) keyLen() int       { return int(r.tag() & keyMask) }
func (r row) key() []byte       { return r[rowHead : rowHead+r.keyLen()] }
func (r row) size() int         { return r.body() + stampLen + r.capacity() }
func (r row) absent() bool      { return r.tag()&flagAbsent != 0 }

// body is where the timestamp begins.
func (r row) body() int {
	tag := r.tag()
	return rowHead + int(tag&keyMask) + int(tag/flagDue&1)*dueLen
}

// was is when disk's row comes due, as it stands before a key in that order.
func (r row) was() []byte { return r[r.body()-dueLen : r.body()] }

// stored is the timestamp and the value, as they go to disk.
func (r row) stored() []byte {
	i := r.body()
	return r[i : i+stampLen+r.valueLen()]
}

func (r row) read() (value []byte, at core.Time) {
	b := r.stored()
	return b[stampLen:], core.Time(binary.BigEndian.Uint64(b))
}

func rowSize(key, value int) int { return (rowHead + key + stampLen + value + 7) &^ 7 }

func newTable(pool *slabPool) *table {
	return &table{slots: make([]uint64, 64), mask: 63, pool: pool}
}

func hashKey(seed maphash.Seed, key []byte) uint32 { return uint32(maphash.Bytes(seed, key)) }

func (t *table) at(ref uint32) row {
	return row(t.slabs[ref>>refBits][(ref&(1<<refBits-1))*refUnit:])
}

// find returns the row of key, or nil, and the slot where it is or belongs.
func (t *table) find(h uint32, key []byte) (row, uint32) {
	for i := h & t.mask; ; i = (i + 1) & t.mask {
		s := t.slots[i]
		if s == 0 {
			return nil, i
		}
		if uint32(s>>32) == h {
			if r := t.at(uint32(s) - 1); r.keyLen() == len(key) && bytes.Equal(r.key(), key) {
				return r, i
			}
		}
	}
}

// write sets a committed row: nil deletes it. found and slot are what find returned; where rows
// come due by what is in them, found is not nil if disk may have the row.
func (t *table) write(h uint32, found row, slot uint32, key, value []byte, at core.Time) {
	tag := uint32(flagDirty)
	if found != nil {
		tag |= found.tag() & (flagUnborn | flagBorn)
		if found.tag()&flagDirty == 0 {
			t.dirty += found.size()
		}
	}
	if value == nil {
		tag |= flagAbsent
	}
	t.set(h, found, slot, key, value, at, tag)
}

// fill adds a row as it is on disk. The key must not be in the table.
func (t *table) fill(h, slot uint32, key, value []byte, at core.Time, absent bool) row {
	tag := uint32(flagBorn)
	if absent {
		tag = flagAbsent | flagUnborn
	}
	r := t.set(h, nil, slot, key, value, at, tag)
	if t.due != nil && !absent {
		at, then := dueOfRow(t.due, r)
		appendDue(r.was()[:0], at, then)
	}
	return r
}

func (t *table) set(h uint32, found row, slot uint32, key, value []byte, at core.Time, tag uint32) row {
	if found != nil && len(value) <= found.capacity() {
		found.setTag(tag | found.tag()&flagDue | uint32(len(key)))
		found.put(value, at)
		return found
	}
	more := 0
	if t.due != nil {
		more = dueLen
	}
	size := rowSize(len(key)+more, len(value))
	if found != nil {
		// It has grown: it may go on growing.
		size = rowSize(len(key)+more, len(value)+len(value)/4)
		found.setTag(found.tag() | flagDead)
		if tag&flagDirty != 0 {
			t.dirty += size - found.size()
		}
	} else {
		if t.rows++; t.rows*4 > len(t.slots)*3 {
			t.grow()
			_, slot = t.find(h, key)
		}
		if tag&flagDirty != 0 {
			t.dirty += size
		}
	}
	ref, r := t.alloc(size)
	if t.due != nil {
		tag |= flagDue
	}
	r.init(key, size, tag)
	if t.due != nil {
		was := r.was()
		if found != nil {
			copy(was, found.was())
		} else {
			copy(was, noDue)
		}
	}
	r.put(value, at)
	t.slots[slot] = uint64(h)<<32 | uint64(ref+1)
	if t.order != nil {
		t.order.set(r.key(), ref)
	}
	return r
}

// init makes r a row of size bytes.
func (r row) init(key []byte, size int, tag uint32) {
	r.setTag(tag | uint32(len(key)))
	binary.LittleEndian.PutUint32(r, uint32(size-r.body()-stampLen))
	copy(r[rowHead:], key)
}

func (r row) put(value []byte, at core.Time) {
	binary.LittleEndian.PutUint32(r[4:], uint32(len(value)))
	b := r[r.body():]
	binary.BigEndian.PutUint64(b, uint64(at))
	copy(b[stampLen:], value)
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]uint64, 2*len(old))
	t.mask = uint32(len(t.slots) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		i := uint32(s>>32) & t.mask
		for t.slots[i] != 0 {
			i = (i + 1) & t.mask
		}
		t.slots[i] = s
	}
}

// alloc returns the place of a new row of that size.
func (t *table) alloc(size int) (uint32, row) {
	t.used += size
	i := t.cur
	switch {
	case size >= largeRow:
		i = t.addSlab(size)
	case i >= len(t.slabs) || cap(t.slabs[i])-len(t.slabs[i]) < size:
		// Small tables are many: begin small, on Go's heap.
		n := min(max(slabMin, 1<<bits.Len(uint(t.used+size))), slabSize)
		if t.many {
			n = slabSize
		}
		i = t.addSlab(n)
		t.cur = i
	}
	s := t.slabs[i]
	n := len(s)
	t.slabs[i] = s[:n+size]
	return uint32(i)<<refBits | uint32(n/refUnit), row(t.slabs[i][n:])
}

func (t *table) addSlab(size int) int {
	if len(t.slabs) >= slabsMax {
		panic("statestore: a table in memory has outgrown its references") // checkApply and the budget forbid it
	}
	t.slabs = append(t.slabs, t.pool.get(size))
	return len(t.slabs) - 1
}

// reset empties the table. It keeps its slots, unless they have become far too many; the
// slabs go to the pool, where other tables find them.
func (t *table) reset() {
	if n := 64; len(t.slots) > 16*max(n, t.rows) {
		t.slots = make([]uint64, n)
		t.mask = uint32(n - 1)
	} else {
		clear(t.slots)
	}
	for i, s := range t.slabs {
		t.pool.put(s)
		t.slabs[i] = nil
	}
	t.slabs = t.slabs[:0]
	t.many = t.used >= 4*slabSize
	t.rows, t.cur, t.used, t.dirty = 0, 0, 0, 0
	if t.order != nil {
		t.order.reset()
	}
}

// inOrder makes the rows' order, which is kept from then on.
func (t *table) inOrder() *order {
	if t.order == nil {
		t.order = newOrder(func(ref uint32) []byte { return t.at(ref).key() })
		t.each(func(ref uint32, r row) { t.order.set(r.key(), ref) })
	}
	return t.order
}

// memory is about what the rows take, slots and order included.
func (t *table) memory() int { return t.used + 12*t.rows + t.order.memory() }

// each calls f with every live row and its ref, in the order of their places.
func (t *table) each(f func(ref uint32, r row)) {
	for i, s := range t.slabs {
		for n := 0; n < len(s); {
			r := row(s[n:])
			if r.tag()&flagDead == 0 {
				f(uint32(i)<<refBits|uint32(n/refUnit), r)
			}
			n += r.size()
		}
	}
}

// copyDirty adds t's dirty rows to the empty table u, as they are.
func (t *table) copyDirty(seed maphash.Seed, u *table) {
	if t.dirty == 0 {
		return
	}
	t.each(func(_ uint32, r row) {
		if r.tag()&flagDirty == 0 {
			return
		}
		h := hashKey(seed, r.key())
		_, slot := u.find(h, r.key())
		value, at := r.read()
		to := u.set(h, nil, slot, r.key(), value, at, r.tag()&^keyMask)
		if u.due != nil {
			copy(to.was(), r.was())
		}
	})
}

// sortKey is a row's place and the 8 bytes of its key behind what all keys have in common.
type sortKey struct {
	prefix uint64
	ref    uint32
}

// sorted returns the refs of the rows that want wants, in key order. It uses buf.
func (t *table) sorted(buf []sortKey, want func(row) bool) []sortKey {
	buf = buf[:0]
	var first []byte
	common := 0
	t.each(func(ref uint32, r row) {
		if !want(r) {
			return
		}
		key := r.key()
		if len(buf) == 0 {
			first, common = key, len(key)
		} else {
			common = commonPrefix(first[:common], key)
		}
		buf = append(buf, sortKey{ref: ref})
	})
	for i := range buf {
		buf[i].prefix = first8(t.at(buf[i].ref).key()[common:])
	}
	slices.SortFunc(buf, func(a, b sortKey) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(t.at(a.ref).key()[common:], t.at(b.ref).key()[common:])
	})
	return buf
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func first8(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var x [8]byte
	copy(x[:], b)
	return binary.BigEndian.Uint64(x[:])
}
