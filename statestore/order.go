package statestore

import "bytes"

// order keeps refs in the order of the keys that they stand for: a skip list without
// pointers, so the garbage collector does not look into it. A node lies in mem as
//
//	ref, height, next node at each level
//
// and is named by its place. The head is at 0, which so is also the end of every level.
type order struct {
	key    func(ref uint32) []byte
	mem    []uint32
	height int
	rng    uint32
	free   [orderLevels + 1][]uint32 // nodes to be used again, by their height
}

const orderLevels = 14 // a node in four is on the next level: enough for 4^14 keys

func newOrder(key func(ref uint32) []byte) *order {
	o := &order{key: key}
	o.reset()
	return o
}

func (o *order) reset() {
	if cap(o.mem) < 2+orderLevels {
		o.mem = make([]uint32, 0, 1024)
	}
	o.mem = o.mem[:2+orderLevels]
	clear(o.mem)
	o.height, o.rng = 1, 0x9e3779b9
	for i := range o.free {
		o.free[i] = o.free[i][:0]
	}
}

func (o *order) ref(n uint32) uint32  { return o.mem[n] }
func (o *order) next(n uint32) uint32 { return o.mem[n+2] }

// path notes at each level the last node before key, and returns the one behind: the first
// whose key is not less, or 0.
func (o *order) path(key []byte, before *[orderLevels]uint32) uint32 {
	n := uint32(0)
	for l := o.height - 1; l >= 0; l-- {
		for {
			m := o.mem[n+2+uint32(l)]
			if m == 0 || bytes.Compare(o.key(o.mem[m]), key) >= 0 {
				break
			}
			n = m
		}
		if before != nil {
			before[l] = n
		}
	}
	return o.mem[n+2]
}

// seek returns the first node whose key is not less, or 0.
func (o *order) seek(key []byte) uint32 { return o.path(key, nil) }

// set adds a key, or changes the ref that stands for it.
func (o *order) set(key []byte, ref uint32) {
	var before [orderLevels]uint32
	if n := o.path(key, &before); n != 0 && bytes.Equal(o.key(o.mem[n]), key) {
		o.mem[n] = ref
		return
	}
	h := 1
	for o.rng ^= o.rng << 13; h < orderLevels && o.rng>>(2*h)&3 == 0; h++ {
	}
	o.rng ^= o.rng >> 17
	o.rng ^= o.rng << 5
	o.height = max(o.height, h)
	n := uint32(len(o.mem))
	if f := o.free[h]; len(f) > 0 {
		n, o.free[h] = f[len(f)-1], f[:len(f)-1]
	} else {
		for range 2 + h {
			o.mem = append(o.mem, 0)
		}
	}
	o.mem[n], o.mem[n+1] = ref, uint32(h)
	for l := range uint32(h) {
		o.mem[n+2+l], o.mem[before[l]+2+l] = o.mem[before[l]+2+l], n
	}
}

// remove takes a key out, if it is there, and returns its ref.
func (o *order) remove(key []byte) (ref uint32, ok bool) {
	var before [orderLevels]uint32
	n := o.path(key, &before)
	if n == 0 || !bytes.Equal(o.key(o.mem[n]), key) {
		return 0, false
	}
	h := o.mem[n+1]
	for l := range h {
		o.mem[before[l]+2+l] = o.mem[n+2+l]
	}
	o.free[h] = append(o.free[h], n)
	return o.mem[n], true
}

// memory is what it takes, in bytes.
func (o *order) memory() int {
	if o == nil {
		return 0
	}
	return 4 * len(o.mem)
}
