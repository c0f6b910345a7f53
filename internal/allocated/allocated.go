package allocated

import (
	"runtime/metrics"
	"testing"
)

const (
	// slack is for what else runs meanwhile, and for what Go's allocator counts late: memory is
	// counted by the span, so some of what was allocated before shows with f.
	slack = 256 << 10
	// perByte is for what is made of an input. It is much: a value of 100 bytes may stand
	// there as {}, and a slice of such values grows step by step.
	perByte = 256
	// tries are made before f is found guilty: others may have allocated meanwhile.
	tries = 4
)

// For is how many bytes a decoder may allocate for an input of n bytes.
func For(n int) uint64 { return slack + perByte*uint64(n) }

// Within fails t if f allocates more than so many bytes. Where it seems to, f is called again, and
// the least counts: f must begin from nothing each time.
func Within(t testing.TB, what string, most uint64, f func()) {
	t.Helper()
	least := Bytes(f)
	for i := 1; i < tries && least > most; i++ {
		least = min(least, Bytes(f))
	}
	if least > most {
		t.Fatalf("%s: %d bytes are allocated, at most %d may be", what, least, most)
	}
}

// Bytes is how many bytes f allocates, and what else runs meanwhile.
func Bytes(f func()) uint64 {
	s := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s[:])
	before := s[0].Value.Uint64()
	f()
	metrics.Read(s[:])
	return s[0].Value.Uint64() - before
}
