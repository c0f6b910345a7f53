package storetest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

var globalSpec = statestore.TableSpec{Name: "rates", Schema: "string -> float64"}

func openGlobal(t reporter, db statestore.DB) statestore.Global {
	t.Helper()
	g, err := db.OpenGlobal(globalSpec)
	must(t, err)
	return g
}

func globalCp(n int) statestore.Checkpoint {
	return statestore.Checkpoint{Input: []core.Offset{core.Offset(n), 7}, Wall: core.Time(1_700_000_000_000 + n)}
}

// rowsOf is a version as text, by both ways to read it.
func rowsOf(t reporter, v statestore.GlobalVersion, keys ...string) map[string]string {
	t.Helper()
	rows := map[string]string{}
	must(t, v.Scan(nil, nil, func(k, v []byte, at core.Time) bool {
		rows[string(k)] = fmt.Sprintf("%s@%d", v, at)
		return true
	}))
	for _, k := range append(keys, slices.Collect(maps.Keys(rows))...) {
		b, at, ok, err := v.Get([]byte(k), []byte("x"))
		must(t, err)
		if want, has := rows[k]; ok != has || ok && fmt.Sprintf("%s@%d", b[1:], at) != want {
			t.Fatalf("Get(%q) = %q@%d, %v; Scan has %q, %v", k, b, at, ok, want, has)
		}
	}
	return rows
}

func versionOf(t reporter, g statestore.Global) statestore.GlobalVersion {
	t.Helper()
	v, err := g.Version()
	must(t, err)
	return v
}

func wantGlobal(t reporter, g statestore.Global, n int, want map[string]string) {
	t.Helper()
	v := versionOf(t, g)
	defer v.Release()
	if got := rowsOf(t, v); !maps.Equal(got, want) {
		t.Fatalf("rows %v, want %v", got, want)
	}
	cp, ok := g.Checkpoint()
	if w := globalCp(n); ok != (n > 0) || ok && (!slices.Equal(cp.Input, w.Input) || cp.Wall != w.Wall) {
		t.Fatalf("checkpoint %v, %v, want that of %d", cp, ok, n)
	}
}

// testGlobal: a global table beside the tables of tasks, opened again, refused and reset.
func testGlobal(t *testing.T, f Factory) {
	db := f.Open(t)
	s, err := db.Open(task, []statestore.TableSpec{globalSpec}) // of the same name
	must(t, err)
	must(t, s.Apply([]core.Write{put(0, "a", "task", 1)}, statestore.Checkpoint{Changelog: []core.Offset{1}}))
	g := openGlobal(t, db)
	_, err = db.OpenGlobal(globalSpec)
	wantErr(t, err, statestore.ErrBusy, "rates")
	wantGlobal(t, g, 0, map[string]string{})
	must(t, g.Apply([]core.Write{put(0, "a", "1", 1), put(0, "b", "2", 2), put(0, "", "", 3), put(0, "a", "3", 3)}, globalCp(1)))
	wantGlobal(t, g, 1, map[string]string{"a": "3@3", "b": "2@2", "": "@3"})
	must(t, g.Apply([]core.Write{del(0, "b", 4), del(0, "gone", 4)}, globalCp(2)))
	if err := g.Apply([]core.Write{put(0, "c", "", 1), {Key: make([]byte, statestore.MaxKey+1)}}, globalCp(3)); err == nil {
		t.Fatal("a key that is too large is taken")
	}
	v := versionOf(t, g)
	var some []string
	must(t, v.Scan([]byte("a"), []byte("b"), func(k, _ []byte, _ core.Time) bool { some = append(some, string(k)); return true }))
	if !slices.Equal(some, []string{"a"}) {
		t.Fatalf("scanned %v", some)
	}
	v.Release()
	wantGet(t, s, 0, "a", "task@1")
	for range 2 {
		wantGlobal(t, g, 2, map[string]string{"a": "3@3", "": "@3"})
		must(t, g.Close())
		_, err = g.Version()
		wantErr(t, err, statestore.ErrClosed)
		wantErr(t, g.Apply(nil, globalCp(9)), statestore.ErrClosed)
		must(t, db.Close())
		db = f.Open(t)
		g = openGlobal(t, db)
	}
	must(t, g.Reset())
	wantGlobal(t, g, 0, map[string]string{})
	must(t, g.Apply([]core.Write{put(0, "z", "9", 9)}, globalCp(4)))
	wantGlobal(t, g, 4, map[string]string{"z": "9@9"})
	must(t, g.Close())
	other := globalSpec
	other.Schema = "string -> int64"
	_, err = db.OpenGlobal(other)
	wantErr(t, err, statestore.ErrSchema, "rates", "float64")
	must(t, db.Close())
	_, err = db.OpenGlobal(globalSpec)
	wantErr(t, err, statestore.ErrClosed)
}

// testGlobalModel: random updates, versions held for a while, flushes and crashes, against
// a map for each.
func testGlobalModel(t *testing.T, f Factory) {
	db := f.Open(t)
	g := openGlobal(t, db)
	states := []map[string]string{{}} // by checkpoint
	type held struct {
		v    statestore.GlobalVersion
		want map[string]string
	}
	rapid.Check(t, func(r *rapid.T) {
		must(r, g.Reset())
		states = []map[string]string{{}}
		flushed := 0
		must(r, db.Flush())
		var versions []held
		release := func() {
			for _, h := range versions {
				h.v.Release()
			}
			versions = nil
		}
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			switch rapid.IntRange(0, 9).Draw(r, "what") {
			case 0:
				versions = append(versions, held{versionOf(r, g), states[len(states)-1]})
			case 1:
				if len(versions) > 0 {
					versions[0].v.Release()
					versions = versions[1:]
				}
			case 2:
				must(r, db.Flush())
				flushed = len(states) - 1
			case 3:
				if rapid.IntRange(0, 4).Draw(r, "crash") > 0 {
					continue
				}
				release()
				f.Crash(t, db)
				db = f.Open(t)
				g = openGlobal(r, db)
				n := 0
				if cp, ok := g.Checkpoint(); ok {
					n = int(cp.Input[0])
				}
				if n < flushed || n >= len(states) {
					r.Fatalf("a crash leaves checkpoint %d; %d was flushed, %d applied", n, flushed, len(states)-1)
				}
				states, flushed = states[:n+1], n
				wantGlobal(r, g, n, states[n])
			default:
				next := maps.Clone(states[len(states)-1])
				var ws []core.Write
				for range rapid.IntRange(0, 4).Draw(r, "writes") {
					k := rapid.SampledFrom([]string{"", "a", "b", "c", "dd"}).Draw(r, "key")
					at := core.Time(rapid.IntRange(0, 9).Draw(r, "at"))
					if rapid.IntRange(0, 3).Draw(r, "delete") == 0 {
						ws = append(ws, del(0, k, at))
						delete(next, k)
						continue
					}
					v := rapid.SampledFrom([]string{"", "1", "22"}).Draw(r, "value")
					ws = append(ws, put(0, k, v, at))
					next[k] = fmt.Sprintf("%s@%d", v, at)
				}
				must(r, g.Apply(ws, globalCp(len(states))))
				states = append(states, next)
			}
			for _, h := range versions {
				if got := rowsOf(r, h.v, "a", "b", "c"); !maps.Equal(got, h.want) {
					r.Fatalf("a version has become %v, it was %v", got, h.want)
				}
			}
		}
		wantGlobal(r, g, len(states)-1, states[len(states)-1])
		release()
	})
	must(t, g.Close())
	must(t, db.Close())
}

// testGlobalReaders: many goroutines read a version while others are applied.
func testGlobalReaders(t *testing.T, f Factory) {
	db := f.Open(t)
	g := openGlobal(t, db)
	must(t, g.Apply([]core.Write{put(0, "a", "0", 0), put(0, "b", "0", 0)}, globalCp(1)))
	var wg sync.WaitGroup
	for n := range 50 {
		v := versionOf(t, g)
		wg.Go(func() {
			defer v.Release()
			for range 20 {
				a, _, ok1, err1 := v.Get([]byte("a"), nil)
				b, _, ok2, err2 := v.Get([]byte("b"), nil)
				if err1 != nil || err2 != nil || !ok1 || !ok2 || string(a) != string(b) || string(a) != fmt.Sprint(n) {
					t.Errorf("version %d has %q and %q: %v, %v", n, a, b, err1, err2)
					return
				}
			}
		})
		must(t, g.Apply([]core.Write{put(0, "a", fmt.Sprint(n+1), 0), put(0, "b", fmt.Sprint(n+1), 0)}, globalCp(n+2)))
	}
	wg.Wait()
	must(t, g.Close())
	must(t, db.Close())
}
