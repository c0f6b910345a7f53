package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

func testReset(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	must(t, s.Reset()) // of nothing
	must(t, s.Apply([]core.Write{put(0, "old", "1", 1), put(0, "both", "1", 1)}, cp(1)))
	must(t, s.Flush())
	must(t, s.Apply([]core.Write{put(1, "old", "2", 2)}, cp(2)))
	wantGet(t, s, 0, "old", "1@1")
	must(t, s.Reset())
	wantNothing(t, s)
	wantGet(t, s, 0, "old", "-")
	if got := db.Tasks(); len(got) != 0 {
		t.Fatalf("Tasks() = %v after Reset", got)
	}
	must(t, s.Apply([]core.Write{put(0, "new", "3", 3), put(0, "both", "3", 3)}, cp(3)))
	for range 2 {
		wantScan(t, s, 0, nil, nil, 0, "both=3@3", "new=3@3")
		wantScan(t, s, 1, nil, nil, 0)
		wantCheckpoint(t, s, cp(3))
		must(t, db.Close())
		db = f.Open(t)
		s = open(t, db, task)
	}
	must(t, s.Reset())
	must(t, db.Close())
	db = f.Open(t)
	s = open(t, db, task)
	wantNothing(t, s)
	must(t, db.Close())
}

func testSchema(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	must(t, s.Apply([]core.Write{put(0, "k", "v", 1)}, cp(1)))
	must(t, s.Close())
	other := slices.Clone(tables)
	other[0].Schema = "string -> proto:Customer"
	for range 2 {
		_, err := db.Open(task, other)
		wantErr(t, err, statestore.ErrSchema, "customers", "string -> json:Customer", "string -> proto:Customer")
		_, err = db.Open(core.TaskID{Sub: 0, Partition: 9}, other) // a task without rows too
		wantErr(t, err, statestore.ErrSchema)
		_, err = db.Open(task, tables[:1])
		wantErr(t, err, statestore.ErrSchema, `"orders"`, "0_3")
		_, err = db.Open(task, []statestore.TableSpec{tables[0], tables[0]})
		if err == nil {
			t.Fatal("the same name twice is taken")
		}
		s = open(t, db, task) // a refusal changes nothing
		wantGet(t, s, 0, "k", "v@1")
		must(t, db.Close())
		db = f.Open(t)
	}
	must(t, db.Close())
}

// A table's rows and offset follow its name, not its place; a new table begins at -1.
func testTableOrder(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	c := cp(1)
	c.Changelog = []core.Offset{11, 22}
	must(t, s.Apply([]core.Write{put(0, "k", "customer", 1), put(1, "k", "order", 2)}, c))
	for range 2 {
		must(t, s.Close())
		var err error
		s, err = db.Open(task, []statestore.TableSpec{{Name: "added", Schema: "x"}, tables[1], tables[0]})
		must(t, err)
		wantGet(t, s, 0, "k", "-")
		wantGet(t, s, 1, "k", "order@2")
		wantGet(t, s, 2, "k", "customer@1")
		c.Changelog = []core.Offset{-1, 22, 11}
		wantCheckpoint(t, s, c)
		must(t, db.Close())
		db = f.Open(t)
		s = open(t, db, task) // it has not applied anything with the new one
		c.Changelog = []core.Offset{11, 22}
		wantCheckpoint(t, s, c)
	}
	must(t, db.Close())
}

func testOpen(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	_, err := db.Open(task, tables)
	wantErr(t, err, statestore.ErrBusy, "0_3")
	must(t, s.Apply(nil, cp(1)))
	if n := db.Metrics().Open; n != 1 {
		t.Fatalf("%d tasks are open", n)
	}
	must(t, s.Close())
	if n := db.Metrics().Open; n != 0 {
		t.Fatalf("%d tasks are open", n)
	}
	s = open(t, db, task)
	wantCheckpoint(t, s, cp(1))
	must(t, db.Close())
}

func testClosed(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	must(t, s.Apply([]core.Write{put(0, "k", "v", 1)}, cp(1)))
	s2 := open(t, db, core.TaskID{Sub: 7, Partition: 7})
	must(t, s.Close())
	view := s.View(0)
	for _, s := range []statestore.Store{s, s2} {
		if s == s2 {
			must(t, db.Close())
		}
		wantErr(t, s.Apply(nil, cp(2)), statestore.ErrClosed)
		wantErr(t, s.Flush(), statestore.ErrClosed)
		wantErr(t, s.Reset(), statestore.ErrClosed)
		wantErr(t, s.Close(), statestore.ErrClosed)
		wantErr(t, s.Scan(0, nil, nil, nil), statestore.ErrClosed)
	}
	_, _, _, err := view.Get([]byte("k"), nil)
	wantErr(t, err, statestore.ErrClosed)
	_, err = db.Open(task, tables)
	wantErr(t, err, statestore.ErrClosed)
	wantErr(t, db.Close(), statestore.ErrClosed)
}

func testBulk(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	s.Bulk(true)
	rows := map[string]string{}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 20 {
		var writes []core.Write
		for range 2000 {
			k := fmt.Sprintf("key-%05d", rng.IntN(10000))
			if rng.IntN(10) == 0 {
				writes = append(writes, del(0, k, core.Time(i)))
				delete(rows, k)
			} else {
				v := fmt.Sprint(rng.Uint64())
				writes = append(writes, put(0, k, v, core.Time(i)))
				rows[k] = v
			}
		}
		must(t, s.Apply(writes, cp(i)))
	}
	s.Bulk(false)
	must(t, s.Apply(nil, cp(20)))
	for range 2 {
		n := 0
		must(t, s.Scan(0, nil, nil, func(k, v []byte, _ core.Time) bool {
			if rows[string(k)] != string(v) {
				t.Fatalf("key %s: %s, want %s", k, v, rows[string(k)])
			}
			n++
			return true
		}))
		if n != len(rows) {
			t.Fatalf("%d rows, want %d", n, len(rows))
		}
		wantCheckpoint(t, s, cp(20))
		must(t, db.Close())
		db = f.Open(t)
		s = open(t, db, task)
	}
	must(t, db.Close())
}

// Workers use their tasks at the same time. Run it with -race.
func testWorkers(t *testing.T, f Factory) {
	db := f.Open(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := work(db, core.TaskID{Sub: 1, Partition: int32(w)}); err != nil {
				t.Error(err)
			}
		}()
	}
	for range 20 {
		db.Tasks()
		db.Metrics()
	}
	wg.Wait()
	must(t, db.Close())
}

func work(db statestore.DB, id core.TaskID) error {
	s, err := db.Open(id, tables)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(id.Partition), 1))
	want := map[string]string{}
	for i := range 50 {
		var writes []core.Write
		for range 100 {
			k, v := fmt.Sprint(rng.IntN(500)), strings.Repeat("v", rng.IntN(200))
			got, _, ok, err := s.View(0).Get([]byte(k), nil)
			if err != nil {
				return err
			}
			if w, has := want[k]; has != ok || w != string(got) {
				return fmt.Errorf("task %v: key %s: %q %v, want %q %v", id, k, got, ok, w, has)
			}
			if slices.ContainsFunc(writes, func(w core.Write) bool { return string(w.Key) == k }) {
				continue
			}
			writes = append(writes, put(0, k, v, 1))
		}
		if err := s.Apply(writes, cp(i)); err != nil {
			return err
		}
		for _, w := range writes {
			want[string(w.Key)] = string(w.Value)
		}
		if i%20 == 19 {
			if err := s.Flush(); err != nil {
				return err
			}
		}
	}
	return s.Close()
}
