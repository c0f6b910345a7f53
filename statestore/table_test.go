package statestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/allocated"
	"github.com/seed-81380e12/limpet/internal/placed"
)

// The table against a map: writes, fills, growth, moved rows, order, sweeps and resets.
func TestTable(t *testing.T) {
	pool := &slabPool{keep: 4}
	a, b := newTable(pool), newTable(pool)
	rapid.Check(t, func(rt *rapid.T) {
		a.reset()
		b.reset()
		type want struct {
			value         string
			at            core.Time
			absent, dirty bool
		}
		model := map[string]want{}
		key := rapid.Custom(func(t *rapid.T) []byte {
			return fmt.Appendf(nil, "%0*d", rapid.SampledFrom([]int{0, 9, 300}).Draw(t, "width"), rapid.IntRange(0, 400).Draw(t, "key"))
		})
		// A row of 0xab bytes: the sizes reach rows in slabs of their own.
		size := rapid.SampledFrom([]int{0, 1, 8, 100, 5000, largeRow, slabSize + 1})
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				k, at := key.Draw(rt, "k"), core.Time(rapid.Int64().Draw(rt, "at"))
				w := want{at: at, dirty: true}
				var value []byte
				if rapid.Bool().Draw(rt, "delete") {
					w.absent = true
				} else {
					value = bytes.Repeat([]byte{0xab}, size.Draw(rt, "size"))
					w.value = string(value)
				}
				h := hashKey(benchSeed, k)
				r, slot := a.find(h, k)
				a.write(h, r, slot, k, value, at)
				model[string(k)] = w
			},
			"fill": func(rt *rapid.T) {
				k := key.Draw(rt, "k")
				if _, ok := model[string(k)]; ok {
					rt.Skip()
				}
				h := hashKey(benchSeed, k)
				_, slot := a.find(h, k)
				w := want{absent: rapid.Bool().Draw(rt, "absent")}
				if !w.absent {
					w.value, w.at = "filled", 7
				}
				a.fill(h, slot, k, []byte(w.value), w.at, w.absent)
				model[string(k)] = w
			},
			"sweep": func(*rapid.T) {
				a.copyDirty(benchSeed, b)
				a, b = b, a
				b.reset()
				maps.DeleteFunc(model, func(_ string, w want) bool { return !w.dirty })
			},
			"": func(rt *rapid.T) {
				dirty, n := 0, 0
				a.each(func(_ uint32, r row) {
					n++
					if r.tag()&flagDirty != 0 {
						dirty += r.size()
					}
				})
				if n != len(model) || a.rows != n || a.dirty != dirty {
					rt.Fatalf("%d rows, %d counted, want %d; %d dirty bytes, %d counted", n, a.rows, len(model), dirty, a.dirty)
				}
				for k, w := range model {
					r, _ := a.find(hashKey(benchSeed, []byte(k)), []byte(k))
					if r == nil {
						rt.Fatalf("key %q is not there", k)
					}
					v, at := r.read()
					if got := (want{string(v), at, r.absent(), r.tag()&flagDirty != 0}); got != w {
						rt.Fatalf("key %q: %d bytes at %d, absent %v, dirty %v; want %d bytes at %d, %v, %v", k,
							len(got.value), got.at, got.absent, got.dirty, len(w.value), w.at, w.absent, w.dirty)
					}
				}
				var keys []string
				for _, k := range a.sorted(nil, func(row) bool { return true }) {
					keys = append(keys, string(a.at(k.ref).key()))
				}
				if !slices.Equal(keys, slices.Sorted(maps.Keys(model))) {
					rt.Fatal("sorted is not in order")
				}
			},
		})
	})
	a.reset()
	b.reset()
	if n := pool.bytes.Load(); n != 0 {
		t.Fatalf("%d bytes of slabs are lost", n)
	}
}

// In the steady state Apply and Get allocate nothing.
func TestAllocs(t *testing.T) {
	db, err := openPebble(PebbleConfig{Dir: "db", App: "test", FS: vfs.NewMem()})
	fatal(t, err)
	s, err := db.Open(core.TaskID{}, oneTable)
	fatal(t, err)
	var batches [][]core.Write
	for n := range 8 {
		batches = append(batches, batchOf(n))
	}
	cp := numbered(1)
	cp.Times = []core.Time{1, 2}
	view, buf, n := s.View(0), make([]byte, 0, 1024), 0
	once := func() {
		b := batches[n%len(batches)]
		n++
		cp.Input[0]++
		if err := s.Apply(b, cp); err != nil {
			t.Fatal(err)
		}
		for i := range b {
			if _, _, ok, err := view.Get(b[i].Key, buf); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
	}
	for range 2 * len(batches) {
		once()
	}
	if a := testing.AllocsPerRun(200, once); a > 0 {
		t.Errorf("Apply of 50 rows and 50 Gets: %v allocations", a)
	}
	fatal(t, db.Close())
}

// What is made and deleted in memory never reaches the disk.
func TestShortLived(t *testing.T) {
	db, err := openPebble(PebbleConfig{Dir: "db", App: "test", FS: vfs.NewMem()})
	fatal(t, err)
	s, err := db.Open(core.TaskID{}, oneTable)
	fatal(t, err)
	view := s.View(0)
	for n := range 10 {
		b := batchOf(n)
		for i := range b { // as the core does: it reads before it writes
			_, _, _, err := view.Get(b[i].Key, nil)
			fatal(t, err)
		}
		fatal(t, s.Apply(b, numbered(n)))
		for i := range b {
			b[i].Value = nil
		}
		fatal(t, s.Apply(b, numbered(n)))
	}
	fatal(t, s.Flush())
	if m := db.Metrics(); m.FlushedRows != 0 || m.Flushes != 1 {
		t.Fatalf("%d rows in %d batches", m.FlushedRows, m.Flushes)
	}
	fatal(t, db.Close())
}

// The bounds of what a crash must replay: records, and time by Checkpoint.Wall.
func TestFlushBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  PebbleConfig
		wall core.Time // by commit
		from core.Time // of the first one: later it goes back
	}{
		{"records", PebbleConfig{FlushRecords: 1000}, 0, 0},
		{"time", PebbleConfig{}, 16_000, 0},
		{"time that is set back", PebbleConfig{}, 16_000, 1_000_000_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			c.cfg.Dir, c.cfg.App, c.cfg.FS = "db", "test", mem
			db, err := openPebble(c.cfg)
			fatal(t, err)
			s, err := db.Open(core.TaskID{}, oneTable)
			fatal(t, err)
			for n := 1; n <= 100; n++ {
				cp := numbered(n)
				if cp.Wall = core.Time(n) * c.wall; n == 1 {
					cp.Wall += c.from
				}
				fatal(t, s.Apply(batchOf(n), cp))
				fatal(t, s.(*pebbleStore).reap(true))
			}
			clone := mem.CrashClone(vfs.CrashCloneCfg{})
			fatal(t, db.Close())
			c.cfg.FS = clone
			db, err = openPebble(c.cfg)
			fatal(t, err)
			s, err = db.Open(core.TaskID{}, oneTable)
			fatal(t, err)
			cp, ok := s.Checkpoint()
			if !ok || cp.Input[0] < 78 { // 20 commits, and one more each to notice and to do it
				t.Fatalf("after the crash: commit %v of 100", cp.Input)
			}
			fatal(t, db.Close())
		})
	}
}

func TestCheckpointFormat(t *testing.T) {
	ids := []uint32{3, 1, 70000}
	cp := Checkpoint{
		Changelog: []core.Offset{1 << 40, -1, 0}, Input: []core.Offset{5, 1 << 50},
		Times: []core.Time{core.NoTime, 1_700_000_000_000}, Wall: 1_700_000_000_001,
		Topics: []TopicMark{{1, 1<<32 - 1}},
	}
	b := appendCheckpoint(nil, &cp, ids)
	// docs/format.md, spelled out; a change of this line is a change of format.
	const want = "02" +
		"03" + "03" + "808080808040" + "01" + "01" + "f0a204" + "00" + // tables: number, offset
		"02" + "0a" + "8080808080808004" + // sources
		"02" + "01" + "80a0abfef962" + // times
		"82a0abfef962" + // wall
		"01" + "01" + "ffffffff0f" // topics: name, id
	if got := fmt.Sprintf("%x", b); got != want {
		t.Errorf("encoded: %s, want %s", got, want)
	}
	s, err := parseCheckpoint(b)
	fatal(t, err)
	r := newRegistry()
	got, err := s.forTables(core.TaskID{}, ids, &r, "here")
	fatal(t, err)
	if !got.equal(&cp) {
		t.Fatalf("%v, want %v", got, cp)
	}
	for n := range b { // every part of it is damage
		if _, err := parseCheckpoint(b[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
	if _, err := parseCheckpoint(append(b, 0)); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	cp.Topics = nil
	old := append([]byte{1}, b[1:len(b)-7]...) // version 1 has no topics
	if s, err = parseCheckpoint(old); err != nil {
		t.Fatal(err)
	}
	if got, err = s.forTables(core.TaskID{}, ids, &r, "here"); err != nil || !got.equal(&cp) {
		t.Fatalf("%v, %v, want %v", got, err, cp)
	}
	if _, err := parseCheckpoint([]byte{3}); !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
}

func FuzzCheckpoint(f *testing.F) {
	cp := numbered(7)
	f.Add(appendCheckpoint(nil, &cp, []uint32{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var err error
		allocated.Within(t, "parseCheckpoint", allocated.For(len(b)), func() { _, err = parseCheckpoint(b) })
		if err == nil {
			return
		}
		if placed.Error(t, err, len(b)); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatal(err)
		}
	})
}

// What a store holds beside rows: the meta record, the registry, keys and rows. An error, or
// what was written.
func FuzzFormat(f *testing.F) {
	f.Add([]byte(`{"format":2,"app":"a","topology":"t"}`), []byte(`{"id":3,"schema":"s","due":true}`))
	f.Add([]byte(`{"format":9}`), []byte(`{"id":-1}`))
	f.Add(checkpointKey(core.TaskID{Sub: 1, Partition: 2}), []byte("12345678row"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		allocated.Within(t, "a", allocated.For(len(a)), func() {
			_, _ = parseMeta("here", a)
			_, _ = parseTask(a)
		})
		allocated.Within(t, "b", allocated.For(len(b)), func() {
			r := newRegistry()
			_ = r.load("rows", b)
			_, _, _ = parseRow(b)
		})
		if m, err := parseMeta("here", a); err == nil {
			if err := m.check("here", m.App, ""); (err == nil) != (m.Format >= 1 && m.Format <= formatVersion) || err != nil && !errors.Is(err, ErrVersion) {
				t.Fatalf("%q: %v", a, err)
			}
		} else if placed.Error(t, err, len(a)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%q: %v", a, err)
		}
		r := newRegistry()
		if err := r.load("rows", b); err == nil {
			if ids, _, err := r.resolve([]TableSpec{{Name: "rows", Schema: r.byName["rows"].Schema}, {Name: "new"}}, "here"); err == nil && (ids[0] == 0 || ids[1] == 0 || ids[0] == ids[1]) {
				t.Fatalf("%q: tables are %v", b, ids)
			}
		} else if placed.Error(t, err, len(b)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%q: %v", b, err)
		}
		if id, err := parseTask(a); err == nil {
			if !bytes.HasPrefix(a, taskPrefix(id)) {
				t.Fatalf("%x is of task %v", a, id)
			}
		} else if placed.Error(t, err, len(a)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%x: %v", a, err)
		}
		if value, at, err := parseRow(b); err == nil {
			if !bytes.Equal(append(binary.BigEndian.AppendUint64(nil, uint64(at)), value...), b) {
				t.Fatalf("%x: %x at %d", b, value, at)
			}
		} else if placed.Error(t, err, len(b)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func TestKeys(t *testing.T) {
	id := core.TaskID{Sub: 1, Partition: 258}
	if got := fmt.Sprintf("%x", tablePrefix(id, 3)); got != "03000000010000010200000003" {
		t.Fatal(got)
	}
	if back, err := parseTask(checkpointKey(id)); err != nil || back != id {
		t.Fatal(back, err)
	}
	if got := fmt.Sprintf("%x", after([]byte{3, 0, 255, 255})); got != "0301" {
		t.Fatal(got)
	}
}
