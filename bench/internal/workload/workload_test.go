package workload

import (
	"encoding/json"
	"testing"
)

func TestKeys(t *testing.T) {
	for _, id := range []uint32{0, 1, 999_999, 1<<32 - 1} {
		if got, err := keyID(appendKey(nil, id)); got != id || err != nil {
			t.Errorf("key of %d reads as %d, %v", id, got, err)
		}
	}
	if _, err := keyID([]byte("short")); err == nil {
		t.Error("a short key was read")
	}
}

// The hashes are those of Java's org.apache.kafka.common.utils.Utils.murmur2 in its own test.
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "abc": 479470107} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestSameSeedSameKeys(t *testing.T) {
	w := Workload{Keys: 1000, Zipf: 1.1, Seed: 7}
	a, b := w.keys(), w.keys()
	for i := range 1000 {
		if x, y := a(), b(); x != y {
			t.Fatalf("record %d: %d and %d", i, x, y)
		}
	}
}

func TestAppendOrder(t *testing.T) {
	w := Workload{Kind: Join}
	want, err := json.Marshal(order(3, 70_001))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.appendValue(nil, 3, 70_001); string(got) != string(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
