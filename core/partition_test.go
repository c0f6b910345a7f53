package core

import "testing"

// The vectors are those of Kafka's own UtilsTest.
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := murmur2([]byte(key)); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { HashPartition([]byte("a-little-bit-long-string"), 7) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A hash below 0 loses its sign: it is not taken for 0, nor turned over.
func TestHashPartition(t *testing.T) {
	for key, want := range map[string]int32{"21": (-973932308 & 0x7fffffff) % 7, "foobar": (-790332482 & 0x7fffffff) % 7, "abc": 479470107 % 7} {
		if got := HashPartition([]byte(key), 7); got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}
