package core

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// newCells is a table that has cells only.
func newCells[K comparable]() *Table[K, int] { return &Table[K, int]{index: newIndex[K]()} }

func (t *Table[K, V]) add(k K) int32 {
	i := int32(len(t.cells))
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.cells = append(t.cells, cell[K, V]{})
	}
	t.cells[i].key = k
	t.link(i)
	return i
}

// An index is a map.
func TestIndexIsAMap(t *testing.T) {
	type pair struct {
		Name string
		A, B int32
		T    Time
	}
	t.Run("string", func(t *testing.T) {
		indexIsAMap(t, func(n int) string { return strconv.Itoa(n * n) })
	})
	t.Run("bytes", func(t *testing.T) { indexIsAMap(t, func(n int) uint8 { return uint8(n) }) })
	t.Run("struct", func(t *testing.T) {
		indexIsAMap(t, func(n int) pair { return pair{strconv.Itoa(n % 7), int32(n), 3, Time(n % 3)} })
	})
	t.Run("windowed", func(t *testing.T) {
		indexIsAMap(t, func(n int) Windowed[string] { return Windowed[string]{strconv.Itoa(n % 40), Time(n), Time(n + 1)} })
	})
	t.Run("array", func(t *testing.T) { indexIsAMap(t, func(n int) [2]string { return [2]string{strconv.Itoa(n), "x"} }) })
	t.Run("float", func(t *testing.T) { indexIsAMap(t, func(n int) float64 { return float64(n) / 3 }) })
	t.Run("padding", func(t *testing.T) {
		type padded struct {
			A int8
			B int64
		}
		indexIsAMap(t, func(n int) padded { return padded{int8(n), int64(n)} })
	})
	t.Run("interface", func(t *testing.T) { indexIsAMap(t, func(n int) any { return n }) })
}

// The keys of rows over time have no map, though there is padding in them.
func TestIndexOfPaddedKeys(t *testing.T) {
	if newIndex[Timed[string]]().parts == nil || newIndex[Lonely[string]]().parts == nil || newIndex[TimerKey[string]]().parts == nil {
		t.Error("the index is a map")
	}
	if newIndex[float64]().parts != nil || newIndex[struct{}]().parts != nil {
		t.Error("the index is none")
	}
}

func indexIsAMap[K comparable](t *testing.T, key func(int) K) {
	rapid.Check(t, func(t *rapid.T) {
		tb, model := newCells[K](), map[K]int32{}
		many := rapid.IntRange(1, 300).Draw(t, "keys")
		for range rapid.IntRange(0, 400).Draw(t, "steps") {
			k := key(rapid.IntRange(0, many).Draw(t, "key"))
			i, ok := tb.at(k)
			if want, there := model[k]; ok != there || ok && i != want {
				t.Fatalf("%v is at %d, %v; want %d, %v", k, i, ok, want, there)
			}
			switch {
			case !ok:
				model[k] = tb.add(k)
			case rapid.Bool().Draw(t, "delete"):
				tb.unlink(i)
				delete(model, k)
				tb.free = append(tb.free, i)
			}
			if tb.index.len() != len(model) {
				t.Fatalf("%d keys, want %d", tb.index.len(), len(model))
			}
		}
		for k, want := range model {
			if i, ok := tb.at(k); !ok || i != want {
				t.Fatalf("%v is at %d, %v; want %d", k, i, ok, want)
			}
		}
	})
}

// Keys that were made to collide cost no more than in a map: one takes over.
func TestIndexWithABadHash(t *testing.T) {
	tb := newCells[Time]()
	tb.index.parts = []part{} // all hashes are the same
	const n = 3 * farthest
	for k := range Time(n) {
		tb.add(k)
	}
	if tb.index.parts != nil || tb.index.len() != n {
		t.Fatalf("%d keys in %d slots, %d in the map", tb.index.len(), len(tb.index.slots), len(tb.index.keys))
	}
	for k := range Time(n) {
		if i, ok := tb.at(k); !ok || i != int32(k) {
			t.Fatalf("%d is at %d, %v", k, i, ok)
		}
	}
	tb.unlink(5)
	if _, ok := tb.at(5); ok || tb.index.len() != n-1 {
		t.Error("a deleted key is there")
	}
}

// Keys that differ little have hashes that differ much: no entry lies far from its place.
func TestIndexSpreads(t *testing.T) {
	for name, key := range map[string]func(int) string{
		"numbers": strconv.Itoa,
		"padded":  func(n int) string { return "customer" + strconv.FormatInt(int64(n)+1<<32, 16) },
		"long": func(n int) string {
			return "the same beginning of all keys, and then " + strconv.Itoa(n) + " and the same end"
		},
		"shifted": func(n int) string { return strconv.Itoa(n << 8) },
		"bytes":   func(n int) string { return string([]byte{0, 0, byte(n >> 16), byte(n >> 8), byte(n)}) },
	} {
		tb := newCells[string]()
		for n := range 100_000 {
			tb.add(key(n))
		}
		most, mask := uint32(0), uint32(len(tb.index.slots)-1)
		for at, s := range tb.index.slots {
			if s.cell != 0 {
				most = max(most, (uint32(at)-s.hash)&mask)
			}
		}
		if tb.index.parts == nil || most > 100 {
			t.Errorf("%s: an entry lies %d from its place", name, most)
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	for _, keys := range []int{10_000, 1_000_000} {
		var names []string
		for n := range keys {
			names = append(names, "customer"+strconv.FormatInt(int64(n)+1<<32, 16)[1:])
		}
		tb, m := newCells[string](), map[string]int32{}
		for _, k := range names {
			m[strings.Clone(k)] = tb.add(strings.Clone(k))
		}
		// In no order that the memory knows.
		look := func(b *testing.B, at func(string) int32) {
			x, sum := uint64(88172645463325252), int32(0)
			for range b.N {
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
				sum += at(names[x%uint64(keys)])
			}
			b.ReportMetric(float64(sum&1), "sum")
		}
		b.Run("index/"+strconv.Itoa(keys), func(b *testing.B) {
			look(b, func(k string) int32 { i, _ := tb.at(k); return int32(tb.cells[i].val) })
		})
		b.Run("map/"+strconv.Itoa(keys), func(b *testing.B) {
			look(b, func(k string) int32 { return int32(tb.cells[m[k]].val) })
		})
	}
}
