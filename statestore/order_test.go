package statestore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
)

// An order is a sorted list, whatever is put in, changed and taken out.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var keys []string // by ref
		want := map[string]uint32{}
		o := newOrder(func(ref uint32) []byte { return []byte(keys[ref]) })
		key := rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00")), 0, 4, -1)
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				want[k] = uint32(len(keys))
				keys = append(keys, k)
				o.set([]byte(k), want[k])
			},
			"remove": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				ref, ok := want[k]
				if got, found := o.remove([]byte(k)); found != ok || ok && got != ref {
					rt.Fatalf("remove %q: %d, %v, want %d, %v", k, got, found, ref, ok)
				}
				delete(want, k)
			},
			"reset": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "reset") == 0 {
					o.reset()
					clear(want)
				}
			},
			"": func(rt *rapid.T) {
				from := key.Draw(rt, "from")
				var got, list []string
				for n := o.seek([]byte(from)); n != 0; n = o.next(n) {
					k := keys[o.ref(n)]
					if want[k] != o.ref(n) {
						rt.Fatalf("%q has ref %d, want %d", k, o.ref(n), want[k])
					}
					got = append(got, k)
				}
				for _, k := range slices.Sorted(maps.Keys(want)) {
					if k >= from {
						list = append(list, k)
					}
				}
				if !slices.Equal(got, list) {
					rt.Fatalf("from %q: %q, want %q", from, got, list)
				}
			},
		})
	})
}

// BenchmarkScanPart scans 10 of a million rows, and writes one row for each scan.
func BenchmarkScanPart(b *testing.B) {
	for _, kind := range []string{"memory", "write-back", "disk"} {
		b.Run(kind, func(b *testing.B) {
			var db DB = NewMemory()
			if kind != "memory" {
				p, err := openPebble(PebbleConfig{Dir: b.TempDir(), App: "bench", MemoryBytes: 1 << 30})
				if err != nil {
					b.Fatal(err)
				}
				db = p
			}
			s, err := db.Open(core.TaskID{}, oneTable)
			if err != nil {
				b.Fatal(err)
			}
			const rows = 1_000_000
			cp := Checkpoint{Changelog: []core.Offset{0}}
			apply := func(ws ...core.Write) {
				if err := s.Apply(ws, cp); err != nil {
					b.Fatal(err)
				}
			}
			var ws []core.Write
			for i := range rows {
				ws = append(ws, core.Write{Key: benchKey(nil, uint32(i)), Value: []byte("row"), Time: 1})
			}
			apply(ws...)
			if kind == "disk" {
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				if s, err = db.Open(core.TaskID{}, oneTable); err != nil {
					b.Fatal(err)
				}
			}
			rng := rand.New(rand.NewPCG(1, 1))
			var key []byte
			one := make([]core.Write, 1)
			scan := func() {
				key = benchKey(key, rng.Uint32N(rows))
				n := 0
				if err := s.Scan(0, key, nil, func(_, _ []byte, _ core.Time) bool { n++; return n < 10 }); err != nil || n == 0 {
					b.Fatal(n, err)
				}
				one[0] = core.Write{Key: key, Value: []byte("new"), Time: 2}
				apply(one...)
			}
			scan()
			b.ReportAllocs()
			for b.Loop() {
				scan()
			}
			b.StopTimer()
			if err := db.Close(); err != nil {
				b.Fatal(fmt.Errorf("close: %w", err))
			}
		})
	}
}
