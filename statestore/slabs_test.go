package statestore

import "testing"

// Slabs that are kept are mapped together and unmapped when all have come back; more than that
// are Go's.
func TestSlabPool(t *testing.T) {
	p := &slabPool{keep: areaSlabs + 3}
	var out [][]byte
	for i := range areaSlabs + 5 {
		s := p.get(slabSize)
		if len(s) != 0 || cap(s) != slabSize {
			t.Fatalf("a slab of %d bytes, room for %d", len(s), cap(s))
		}
		s = s[:slabSize]
		s[0], s[slabSize-1] = byte(i), byte(i)
		out = append(out, s)
	}
	for i, s := range out {
		if s[0] != byte(i) || s[slabSize-1] != byte(i) {
			t.Fatalf("slab %d is shared", i)
		}
	}
	if small := p.get(slabMin); cap(small) != slabMin {
		t.Fatalf("room for %d, want %d", cap(small), slabMin)
	}
	mapped := len(p.areas) * areaSlabs // none, where the system has no such memory
	if mapped != 0 && mapped != areaSlabs || mapped == 0 != p.failed {
		t.Errorf("%d slabs are mapped, failed: %v", mapped, p.failed)
	}
	for _, s := range out[1:] {
		p.put(s)
	}
	if err := p.close(); err != nil || len(p.areas)*areaSlabs != mapped {
		t.Fatalf("unmapped while a slab is out: %v", err)
	}
	if out[0][0] = 7; out[0][0] != 7 {
		t.Error("it cannot be written")
	}
	p.put(out[0])
	if len(p.free) < areaSlabs || len(p.free) > p.keep+mapped {
		t.Errorf("%d slabs are kept, want %d or so", len(p.free), p.keep)
	}
	if err := p.close(); err != nil || len(p.areas) != 0 {
		t.Errorf("%d areas are left: %v", len(p.areas), err)
	}
	if s := p.get(slabSize); cap(s) != slabSize {
		t.Error("no slab behind close")
	}
}
