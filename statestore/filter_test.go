package statestore

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
)

// A filter has all keys that were added, few others, and takes no more than it may.
func TestKeyFilter(t *testing.T) {
	db, err := openPebble(PebbleConfig{Dir: "db", App: "test", FS: vfs.NewMem(), CacheBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const budget = 4 << 20
	rng := rand.New(rand.NewPCG(1, 2))
	f := &keyFilter{db: db}
	var added []uint64
	for full := false; !full; {
		hashes := make([]uint64, filterBatch)
		for i := range hashes {
			hashes[i] = rng.Uint64()
		}
		if full = !f.add(hashes); !full {
			added = append(added, hashes...)
		}
		if n := len(added); n == filterBatch && f.lacks(^added[0]) {
			t.Error("it says what disk lacks before it is filled")
		} else if n != 1_000_000/filterBatch*filterBatch {
			continue
		}
		f.ready.Store(true)
		for _, h := range added {
			if f.lacks(h) {
				t.Fatalf("a key that was added is not in it")
			}
		}
		wrong := 0
		for range 100_000 {
			if !f.lacks(rng.Uint64()) {
				wrong++
			}
		}
		t.Logf("%d keys, %d bytes: %d of 100000 others are looked for", len(added), f.bytes, wrong)
		if wrong > 3000 {
			t.Errorf("%d of 100000 keys that were not added are looked for", wrong)
		}
		if used := budget - db.filters.left; used != f.bytes || used > 3*filterKeyBytes*len(added) {
			t.Errorf("%d bytes for %d keys, %d of them its own", used, len(added), f.bytes)
		}
	}
	if n := len(added); n < budget/filterKeyBytes-filterBatch || n > budget/filterKeyBytes {
		t.Errorf("%d keys in %d bytes", n, budget)
	}
	if !f.off.Load() || f.lacks(1) || f.add([]uint64{1}) {
		t.Errorf("it has outgrown its memory, and is not off")
	}
	if f.free(); db.filters.left != budget || f.lacks(1) || f.add([]uint64{1}) {
		t.Errorf("%d bytes are left", db.filters.left)
	}
}

// filterStore is a task of one table with little memory, and a filter wanted after so many rows that are not there.
func filterStore(t *testing.T, cfg PebbleConfig) (*pebbleDB, *pebbleStore) {
	t.Helper()
	cfg.Dir, cfg.App, cfg.FS, cfg.MemoryBytes = "db", "test", vfs.NewMem(), 64<<10
	db, err := openPebble(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := db.Open(core.TaskID{}, []TableSpec{{Name: "rows", Schema: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	return db, s.(*pebbleStore)
}

func filterKey(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)*0x9E3779B97F4A7C15) }

// writeKeys applies rows of keys, and makes them durable.
func (s *pebbleStore) writeKeys(t *testing.T, from, to int) {
	t.Helper()
	for at := from; at < to; at += 100 {
		var ws []core.Write
		for i := at; i < min(at+100, to); i++ {
			ws = append(ws, core.Write{Key: filterKey(i), Value: fmt.Append(nil, i), Time: 1})
		}
		if err := s.Apply(ws, Checkpoint{Changelog: []core.Offset{core.Offset(to)}, Input: []core.Offset{core.Offset(to)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}

// has is how many of the keys have rows.
func (s *pebbleStore) has(t *testing.T, from, to int) (n int) {
	t.Helper()
	for i := from; i < to; i++ {
		v, _, ok, err := s.View(0).Get(filterKey(i), nil)
		if err != nil || ok && string(v) != fmt.Sprint(i) {
			t.Fatalf("key %d: %q, %v", i, v, err)
		}
		if ok {
			n++
		}
	}
	return n
}

// filtered waits until the table has its filter.
func filtered(t *testing.T, table *pebbleTable) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); table.filter.Load() == nil || !table.filter.Load().ready.Load(); {
		if time.Now().After(end) {
			t.Fatal("there is no filter")
		}
		time.Sleep(time.Millisecond)
	}
}

// A filter is made when many rows were looked for in vain, has what was on disk before and what comes behind it, and saves
// looking.
func TestFilterIsMadeForWhoNeedsIt(t *testing.T) {
	db, s := filterStore(t, PebbleConfig{filterAfter: 1000})
	table := s.tables[0]
	s.writeKeys(t, 0, 10_000)
	if n := s.has(t, 0, 10_000); n != 10_000 || table.misses > 0 {
		t.Fatalf("%d keys, %d were not found", n, table.misses)
	}
	s.has(t, 100_000, 100_999)
	if s.writeKeys(t, 10_000, 10_001); table.filter.Load() != nil {
		t.Fatal("a filter is made too early")
	}
	s.has(t, 101_000, 101_001)
	s.writeKeys(t, 10_001, 20_000) // the job behind which it is made
	s.writeKeys(t, 20_000, 30_000)
	filtered(t, table)
	if left := db.cfg.CacheBytes / 4; db.filters.left != int(left)-filterFirst {
		t.Errorf("%d of %d bytes are left", db.filters.left, left)
	}
	s.writeKeys(t, 30_000, 40_000)
	if n := s.has(t, 0, 50_000); n != 40_000 {
		t.Errorf("%d keys of 40000", n)
	}
	lacks := 0
	for i := range 10_000 {
		if table.filter.Load().lacks(maphash.Bytes(db.seed, filterKey(200_000+i))) {
			lacks++
		}
	}
	if lacks < 9900 {
		t.Errorf("%d of 10000 keys are known not to be there", lacks)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := db.cfg.CacheBytes / 4; db.filters.left != int(left) {
		t.Errorf("%d of %d bytes are left behind Close", db.filters.left, left)
	}
}

// A table with more keys than it is worth to read for so few that were looked for in vain is left alone, until there are more.
func TestFilterWaitsForMore(t *testing.T) {
	db, s := filterStore(t, PebbleConfig{filterAfter: 100})
	table := s.tables[0]
	s.writeKeys(t, 0, 100*keysPerMiss+2*filterBatch)
	s.has(t, 100_000, 100_100)
	s.writeKeys(t, 0, 1)
	db.filling.Wait()
	if f := table.filter.Load(); f == nil || !f.off.Load() {
		t.Fatal("the keys were read, though they are many")
	}
	s.has(t, 200_000, 200_100)
	if s.writeKeys(t, 0, 1); table.filter.Load() != nil {
		t.Fatal("it was tried again at once")
	}
	s.has(t, 300_000, 300_000+100*filterPatience)
	s.writeKeys(t, 0, 1)
	filtered(t, table)
}
