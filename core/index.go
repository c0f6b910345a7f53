package core

import (
	"encoding/binary"
	"math/bits"
	"reflect"
	"unsafe"
)

// index finds a table's cells by key. It is an open-addressing table of 8 bytes an entry, 32
// bits of hash and the cell's number: the key itself is in the cell. So a lookup goes to
// memory once before it comes to the cell, where a Go map goes twice, and the garbage
// collector does not look into it. Its order is never seen.
//
// The hash has no secret. Where somebody sends keys that were made to collide, or the hash
// is bad for a type, one Go map takes over for good, as it does where a type cannot be hashed
// by its memory.
type index[K comparable] struct {
	parts []part // of a key's memory; nil: keys are in the map
	slots []slot // a power of two
	used  int
	keys  map[K]int32
}

// slot is free where cell is 0, else the cell's number is one less.
type slot struct{ hash, cell uint32 }

const (
	indexMin = 16
	// farthest is how far from its place an entry may lie. With a good hash none of a hundred
	// million does.
	farthest = 256
)

func newIndex[K comparable]() index[K] {
	var parts []part
	t := reflect.TypeFor[K]()
	if !partsOf(t, 0, &parts) || len(parts) == 0 {
		return index[K]{keys: map[K]int32{}}
	}
	return index[K]{parts: parts, slots: make([]slot, indexMin)}
}

// at returns the cell of k.
func (t *Table[K, V]) at(k K) (int32, bool) {
	x := &t.index
	if x.parts == nil {
		i, ok := x.keys[k]
		return i, ok
	}
	h := x.hash(&k)
	mask := uint32(len(x.slots) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		s := x.slots[at]
		if s.cell == 0 {
			return 0, false
		}
		if s.hash == h && t.cells[s.cell-1].key == k {
			return int32(s.cell - 1), true
		}
	}
}

// link adds the cell i, whose key is set and not there yet.
func (t *Table[K, V]) link(i int32) {
	x := &t.index
	if x.parts == nil {
		x.keys[t.cells[i].key] = i
		return
	}
	if x.used++; x.used > len(x.slots)/4*3 {
		x.grow()
	}
	if !x.put(slot{x.hash(&t.cells[i].key), uint32(i) + 1}) {
		t.useMap()
		x.keys[t.cells[i].key] = i
	}
}

// unlink takes the cell i out, whose key is still set.
func (t *Table[K, V]) unlink(i int32) {
	x := &t.index
	if x.parts == nil {
		delete(x.keys, t.cells[i].key)
		return
	}
	mask := uint32(len(x.slots) - 1)
	at := x.hash(&t.cells[i].key) & mask
	for x.slots[at].cell != uint32(i)+1 {
		at = (at + 1) & mask
	}
	// What lies behind moves up, as far as it gets nearer to its place: no gap is left that a
	// lookup would stop at.
	for next := (at + 1) & mask; x.slots[next].cell != 0; next = (next + 1) & mask {
		if home := x.slots[next].hash & mask; (next-home)&mask >= (next-at)&mask {
			x.slots[at] = x.slots[next]
			at = next
		}
	}
	x.slots[at] = slot{}
	x.used--
}

// put adds an entry; false: too far from its place.
func (x *index[K]) put(s slot) bool {
	mask := uint32(len(x.slots) - 1)
	for n, at := 0, s.hash&mask; n < farthest; n, at = n+1, (at+1)&mask {
		if x.slots[at].cell == 0 {
			x.slots[at] = s
			return true
		}
	}
	return false
}

func (x *index[K]) grow() {
	old := x.slots
	x.slots = make([]slot, 2*len(old))
	mask := uint32(len(x.slots) - 1)
	for _, s := range old {
		if s.cell == 0 {
			continue
		}
		at := s.hash & mask
		for x.slots[at].cell != 0 { // no farther than before
			at = (at + 1) & mask
		}
		x.slots[at] = s
	}
}

// useMap moves all entries to the map.
func (t *Table[K, V]) useMap() {
	x := &t.index
	x.keys = make(map[K]int32, x.used)
	for _, s := range x.slots {
		if s.cell != 0 {
			x.keys[t.cells[s.cell-1].key] = int32(s.cell - 1)
		}
	}
	x.parts, x.slots, x.used = nil, nil, 0
}

// len is how many cells are in the index.
func (x *index[K]) len() int {
	if x.parts == nil {
		return len(x.keys)
	}
	return x.used
}

// hash is that of a key's memory.
func (x *index[K]) hash(k *K) uint32 {
	h := uint64(hashSeed)
	for i := range x.parts {
		p := &x.parts[i]
		at := unsafe.Add(unsafe.Pointer(k), p.offset)
		if p.text {
			h = hashText(h, *(*string)(at))
		} else {
			h = hashText(h, unsafe.String((*byte)(at), p.size))
		}
	}
	return uint32(h>>32) ^ uint32(h)
}

// part is a piece of a value's memory: a string, or plain bytes.
type part struct {
	offset, size uintptr
	text         bool
}

// partsOf appends the parts of a type, between which there may be padding that is none of them;
// false where equal values may differ in memory: with floats, of which 0 is -0, and interfaces.
func partsOf(t reflect.Type, offset uintptr, parts *[]part) bool {
	switch t.Kind() {
	case reflect.String:
		*parts = append(*parts, part{offset, t.Size(), true})
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.Name == "_" || !partsOf(f.Type, offset+f.Offset, parts) {
				return false // == does not look at blank fields
			}
		}
	case reflect.Array:
		for i := range t.Len() {
			if !partsOf(t.Elem(), offset+uintptr(i)*t.Elem().Size(), parts) {
				return false
			}
		}
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if n := len(*parts); n > 0 && !(*parts)[n-1].text && (*parts)[n-1].offset+(*parts)[n-1].size == offset {
			(*parts)[n-1].size += t.Size()
			return true
		}
		*parts = append(*parts, part{offset, t.Size(), false})
	default:
		return false
	}
	return true
}

const (
	hashSeed = 0x9e3779b97f4a7c15
	hashA    = 0xa0761d6478bd642f
	hashB    = 0xe7037ed1a0b428db
)

// hashText goes on hashing from h: multiply and fold, 16 bytes at a time (as wyhash does).
func hashText(h uint64, s string) uint64 {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	n := uint64(len(b))
	for len(b) > 16 {
		h = mix(binary.LittleEndian.Uint64(b)^hashA, binary.LittleEndian.Uint64(b[8:])^h)
		b = b[16:]
	}
	var x, y uint64
	switch k := len(b); {
	case k >= 8:
		x, y = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[k-8:])
	case k >= 4:
		x, y = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[k-4:]))
	case k > 0:
		x = uint64(b[0])<<16 | uint64(b[k>>1])<<8 | uint64(b[k-1])
	}
	return mix(hashB^n, mix(x^hashA, y^h))
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
