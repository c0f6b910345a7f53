package core

import "unsafe"

// recent says of a key that no row is of it, so that the view need not be asked. It has the keys of
// the rows that were made since it began, in Bloom filters, each key in one line of memory: a key is
// at times taken for one that is there, never for one that is not. The filters are one behind the
// other, and one goes when all the rows have come due whose keys are in it. Rows from before it
// began it does not know: until they have come due it says nothing.
//
// What it says has no effect but on what is read. Until begin it is off, and costs nothing.
type recent[K comparable] struct {
	hash   index[K] // of which only the hash is used
	most   int      // bytes of all filters
	bytes  int
	before Time // rows that come due until then may be unknown; NoTime: there are none
	on     bool
	sets   []keySet
}

// keySet is one filter.
type keySet struct {
	lines []keyLine
	room  int  // for so many keys more
	last  Time // when the last one of its rows comes due
}

type keyLine [8]uint64

const (
	lineBytes = int(unsafe.Sizeof(keyLine{}))
	// With 16 bits a key, of which 6 are set, one filter takes about one in 300 for one that it has.
	keysLine  = lineBytes / 2
	firstSet  = 256 * lineBytes
	recentMin = 4 * lineBytes
	// recentShare is which part of what an index may take its filters may take.
	recentShare = 2
)

// begin begins with no keys: last is when the last row comes due that there is. most is how much
// memory it may take.
func (r *recent[K]) begin(last Time, most int) {
	if r.hash.parts == nil && r.hash.keys == nil {
		r.hash = newIndex[K]()
	}
	r.on = r.hash.parts != nil
	r.before, r.most, r.sets, r.bytes = last, max(most, recentMin), nil, 0
}

// end ends it: it says nothing until it begins again.
func (r *recent[K]) end() { r.on, r.sets = false, nil }

// add adds the key of a row that comes due at a time.
func (r *recent[K]) add(k K, at Time) {
	if !r.on {
		return
	}
	n := len(r.sets)
	if n == 0 || r.sets[n-1].room == 0 {
		r.grow()
		n = len(r.sets)
	}
	s := &r.sets[n-1]
	s.room--
	s.last = max(s.last, at)
	line, bits := s.place(r.hash.hash(&k))
	for i := range line {
		line[i] |= bits[i]
	}
}

// grow adds a filter, in the place of the oldest ones where there is no memory for it.
func (r *recent[K]) grow() {
	size := firstSet
	if n := len(r.sets); n > 0 {
		size = 2 * lineBytes * len(r.sets[n-1].lines)
	}
	size = min(size, max(r.most/8, lineBytes)/lineBytes*lineBytes)
	for len(r.sets) > 0 && r.bytes+size > r.most {
		r.before = max(r.before, r.sets[0].last)
		r.drop(0)
	}
	r.bytes += size
	lines := size / lineBytes
	r.sets = append(r.sets, keySet{lines: make([]keyLine, lines), room: lines * keysLine, last: NoTime})
}

func (r *recent[K]) drop(i int) {
	r.bytes -= lineBytes * len(r.sets[i].lines)
	r.sets = append(r.sets[:i], r.sets[i+1:]...)
	r.sets[:len(r.sets)+1][len(r.sets)] = keySet{}
}

// none reports that there is surely no row of k, where all rows have gone that come due until a time.
func (r *recent[K]) none(k K, gone Time) bool {
	if !r.on || r.before != NoTime && gone < r.before {
		return false
	}
	h := r.hash.hash(&k)
	for i := 0; i < len(r.sets); {
		s := &r.sets[i]
		if s.last <= gone {
			r.drop(i)
			continue
		}
		line, bits := s.place(h)
		there := true
		for j := range line {
			there = there && line[j]&bits[j] == bits[j]
		}
		if there {
			return false
		}
		i++
	}
	return true
}

// place is the line of a hash, and its bits there.
func (s *keySet) place(h uint32) (line *keyLine, bits keyLine) {
	line = &s.lines[uint64(h)*uint64(len(s.lines))>>32]
	for x, n := mix(uint64(h)^hashA, hashB), 0; n < 6; x, n = x>>9, n+1 {
		bits[x>>6&7] |= 1 << (x & 63)
	}
	return line, bits
}
