package statestore

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// cpu-ns/op is the processor time of the whole process: flushing, compaction and garbage
// collection included.

var benchSeed = maphash.MakeSeed()

var (
	benchKeys  = flag.Int("statestore.keys", 1_000_000, "benchmarks: distinct keys")
	benchCache = flag.Int("statestore.cachemb", 0, "benchmarks: block cache; 0 is the default")
	benchRecs  = flag.Int("statestore.records", 1_000_000, "BenchmarkRestore: changelog records; a fifth as many keys")
)

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// benchKey is a key of 16 bytes, scattered.
func benchKey(b []byte, id uint32) []byte {
	b = binary.BigEndian.AppendUint64(b[:0], mix(uint64(id)))
	return binary.BigEndian.AppendUint64(b, uint64(id))
}

// benchValue fills a value half of which compresses.
func benchValue(b []byte, id uint32) {
	x := uint64(id)
	for i := 0; i+8 <= len(b)/2+8 && i+8 <= len(b); i += 8 {
		x = mix(x)
		binary.LittleEndian.PutUint64(b[i:], x)
	}
}

// ids are m draws of n keys, uniform or Zipf with s = 1.1, scattered over the keys.
func ids(zipf bool, n, m int, seed uint64) []uint32 {
	r := rand.New(rand.NewPCG(seed, 7))
	list := make([]uint32, m)
	if !zipf {
		for i := range list {
			list[i] = r.Uint32N(uint32(n))
		}
		return list
	}
	z := rand.NewZipf(r, 1.1, 1, uint64(n-1))
	for i := range list {
		list[i] = uint32(mix(z.Uint64()) % uint64(n))
	}
	return list
}

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// meter reports processor time and memory of a benchmark's timed part.
type meter struct {
	b *testing.B
	c time.Duration
}

func start(b *testing.B) meter {
	runtime.GC()
	b.ReportAllocs()
	b.ResetTimer()
	return meter{b, cpu()}
}

func (m meter) stop(n int) {
	m.b.StopTimer()
	m.b.ReportMetric(float64(cpu()-m.c)/float64(n), "cpu-ns/op")
}

func benchStore(b *testing.B, cfg PebbleConfig) (*pebbleDB, Store) {
	b.Helper()
	cfg.Dir, cfg.App = b.TempDir(), "bench"
	db, err := openPebble(cfg)
	if err != nil {
		b.Fatal(err)
	}
	s, err := db.Open(core.TaskID{}, oneTable)
	if err != nil {
		b.Fatal(err)
	}
	return db, s
}

// commits is a task's loop: reads and writes, an Apply every so many records.
type commits struct {
	b      *testing.B
	s      Store
	view   core.View
	writes []core.Write
	arena  []byte
	n      int
}

const commitEvery = 10_000

func newCommits(b *testing.B, s Store) *commits {
	return &commits{b: b, s: s, view: s.View(0), arena: make([]byte, 0, commitEvery*160)}
}

func (c *commits) put(key, value []byte) {
	n := len(c.arena)
	c.arena = append(append(c.arena, key...), value...)
	a := c.arena[n:]
	c.writes = append(c.writes, core.Write{Key: a[:len(key):len(key)], Value: a[len(key):], Time: core.Time(c.n)})
	if len(c.writes) == commitEvery {
		c.apply()
	}
}

func (c *commits) apply() {
	c.n++
	cp := Checkpoint{Changelog: []core.Offset{core.Offset(c.n)}, Input: []core.Offset{core.Offset(c.n)}}
	if err := c.s.Apply(c.writes, cp); err != nil {
		c.b.Fatal(err)
	}
	c.writes, c.arena = c.writes[:0], c.arena[:0]
}

func load(b *testing.B, s Store, keys, value int) {
	c := newCommits(b, s)
	var kb [16]byte
	v := make([]byte, value)
	for id := range uint32(keys) {
		benchValue(v, id)
		c.put(benchKey(kb[:], id), v)
	}
	c.apply()
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
}

// settle waits for Pebble's compactions.
func settle(db *pebbleDB) {
	for quiet := 0; quiet < 3; quiet++ {
		if m := db.pdb.Metrics(); m.Compact.NumInProgress > 0 || m.Flush.NumInProgress > 0 {
			quiet = 0
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// BenchmarkReadModifyWrite reads a row, changes its value, and commits every 10 000
// records. gomap is the limit: a map without commits, or anything else.
func BenchmarkReadModifyWrite(b *testing.B) {
	for _, dist := range []string{"uniform", "zipf"} {
		for _, size := range []int{8, 100} {
			name := fmt.Sprintf("%s/value=%d", dist, size)
			b.Run(name+"/pebble", func(b *testing.B) {
				db, s := benchStore(b, PebbleConfig{CacheBytes: int64(*benchCache) << 20})
				load(b, s, *benchKeys, size)
				settle(db)
				run := func(list []uint32) {
					c := newCommits(b, s)
					var kb [16]byte
					buf := make([]byte, 0, 128)
					for _, id := range list {
						key := benchKey(kb[:], id)
						v, _, ok, err := c.view.Get(key, buf[:0])
						if err != nil || !ok {
							b.Fatal(ok, err)
						}
						binary.LittleEndian.PutUint64(v, binary.LittleEndian.Uint64(v)+1)
						c.put(key, v)
					}
					c.apply()
				}
				run(ids(dist == "zipf", *benchKeys, *benchKeys/2, 2))
				list := ids(dist == "zipf", *benchKeys, b.N, 1)
				m := start(b)
				run(list)
				b.StopTimer()
				if err := s.Flush(); err != nil {
					b.Fatal(err)
				}
				settle(db)
				m.stop(b.N)
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
			})
			b.Run(name+"/gomap", func(b *testing.B) {
				rows := make(map[string][]byte, *benchKeys)
				var kb [16]byte
				for id := range uint32(*benchKeys) {
					v := make([]byte, size)
					benchValue(v, id)
					rows[string(benchKey(kb[:], id))] = v
				}
				list := ids(dist == "zipf", *benchKeys, b.N, 1)
				m := start(b)
				for _, id := range list {
					v := rows[string(benchKey(kb[:], id))]
					binary.LittleEndian.PutUint64(v, binary.LittleEndian.Uint64(v)+1)
				}
				m.stop(b.N)
			})
		}
	}
}

// BenchmarkTable is the write-back table alone, without eviction, against a Go map.
func BenchmarkTable(b *testing.B) {
	db := &pebbleDB{}
	for _, dist := range []string{"uniform", "zipf"} {
		b.Run(dist, func(b *testing.B) {
			t := newTable(&db.pool)
			var kb [16]byte
			v := make([]byte, 100)
			for id := range uint32(*benchKeys) {
				key := benchKey(kb[:], id)
				h := hashKey(benchSeed, key)
				r, slot := t.find(h, key)
				t.write(h, r, slot, key, v, 1)
			}
			list := ids(dist == "zipf", *benchKeys, b.N, 1)
			m := start(b)
			for _, id := range list {
				key := benchKey(kb[:], id)
				h := hashKey(benchSeed, key)
				r, _ := t.find(h, key)
				value, _ := r.read()
				copy(v, value)
				v[0]++
				r, slot := t.find(h, key)
				t.write(h, r, slot, key, v, 2)
			}
			m.stop(b.N)
		})
	}
}

// BenchmarkApply writes without reading.
func BenchmarkApply(b *testing.B) {
	for _, dist := range []string{"uniform", "zipf"} {
		b.Run(dist, func(b *testing.B) {
			db, s := benchStore(b, PebbleConfig{CacheBytes: int64(*benchCache) << 20})
			list := ids(dist == "zipf", *benchKeys, b.N, 1)
			c := newCommits(b, s)
			var kb [16]byte
			v := make([]byte, 100)
			m := start(b)
			for i, id := range list {
				if i&255 == 0 {
					benchValue(v, id)
				}
				c.put(benchKey(kb[:], id), v)
			}
			c.apply()
			b.StopTimer()
			if err := s.Flush(); err != nil {
				b.Fatal(err)
			}
			settle(db)
			m.stop(b.N)
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkGet reads rows that are in memory, rows of which most are on disk, and keys
// that are not there.
func BenchmarkGet(b *testing.B) {
	for _, c := range []struct {
		name   string
		memory int64
		zipf   bool
		miss   bool
	}{
		{"memory", 1 << 30, false, false},
		{"disk/uniform", 16 << 20, false, false},
		{"disk/zipf", 16 << 20, true, false},
		{"miss", 16 << 20, false, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			db, s := benchStore(b, PebbleConfig{MemoryBytes: c.memory, CacheBytes: 256 << 20})
			load(b, s, *benchKeys, 100)
			settle(db)
			list := ids(c.zipf, *benchKeys, b.N, 1)
			view := s.View(0)
			var kb [16]byte
			buf := make([]byte, 0, 128)
			for id := range uint32(*benchKeys) { // what fits into memory is there
				if _, _, _, err := view.Get(benchKey(kb[:], id), buf); err != nil {
					b.Fatal(err)
				}
			}
			m := start(b)
			for i, id := range list {
				if c.miss {
					id += 1 << 30
				}
				if _, _, ok, err := view.Get(benchKey(kb[:], id), buf); err != nil || ok == c.miss {
					b.Fatal(ok, err)
				}
				if i%commitEvery == commitEvery-1 {
					if err := s.Apply(nil, numbered(i)); err != nil {
						b.Fatal(err)
					}
				}
			}
			m.stop(b.N)
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRestore applies a changelog in batches of 10 000; an op is the whole of it.
func BenchmarkRestore(b *testing.B) {
	for _, bulk := range []bool{false, true} {
		b.Run(fmt.Sprintf("bulk=%v", bulk), func(b *testing.B) {
			list := ids(false, *benchRecs/5, *benchRecs, 1)
			b.ReportAllocs()
			var ready, used time.Duration
			for b.Loop() {
				b.StopTimer()
				db, s := benchStore(b, PebbleConfig{CacheBytes: int64(*benchCache) << 20})
				runtime.GC()
				t0, c0 := time.Now(), cpu()
				b.StartTimer()
				s.Bulk(bulk)
				c := newCommits(b, s)
				var kb [16]byte
				v := make([]byte, 100)
				for i, id := range list {
					if i&255 == 0 {
						benchValue(v, id)
					}
					binary.LittleEndian.PutUint64(v, uint64(i))
					c.put(benchKey(kb[:], id), v)
				}
				c.apply()
				s.Bulk(false)
				if err := s.Flush(); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				ready += time.Since(t0)
				settle(db)
				used += cpu() - c0
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			n := float64(b.N) * float64(len(list))
			b.ReportMetric(math.Round(n/ready.Seconds()/1000), "krec/s")
			b.ReportMetric(float64(used)/n, "cpu-ns/rec")
		})
	}
}
