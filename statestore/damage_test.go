package statestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
)

// Damage: one file of a store is harmed at random, then everything is read. Each task must be
// at one of its commits, whole, or have nothing, or there is an error of those that say what
// to do. A wrong row, or one that is missing, is the one thing that must not be.

var damageTables = []TableSpec{
	{Name: "orders", Schema: "string -> bytes", DueOf: core.DueByTime()},
	{Name: "windows", Schema: "window -> bytes", DueOf: &core.DueOrder{Of: func(key, _ []byte, _ core.Time) (at, then core.Time, ok bool) {
		return core.Time(key[len(key)-1]), core.Time(len(key)), true
	}}},
}

var damageGlobal = TableSpec{Name: "rates", Schema: "string -> bytes"}

// picture is all that a reader can see of a store, as text.
type picture struct {
	task   map[core.TaskID]string // checkpoint, rows, order
	global string
}

// history is what may be seen: of each task and of the global table, each commit.
type history struct {
	task   map[core.TaskID][]string
	global []string
}

func (h *history) allows(p picture) error {
	for id, text := range p.task {
		if !slices.Contains(h.task[id], text) {
			return fmt.Errorf("task %v: %.200s", id, text)
		}
	}
	if !slices.Contains(h.global, p.global) {
		return fmt.Errorf("global table: %.200s", p.global)
	}
	return nil
}

var damageTasks = []core.TaskID{{Sub: 0, Partition: 0}, {Sub: 0, Partition: 1}, {Sub: 1, Partition: 0}}

func damageConfig(fs vfs.FS) PebbleConfig {
	return PebbleConfig{Dir: "db", App: "damage", Topology: "damage", FS: fs, MemoryBytes: 64 << 10, memTableBytes: 64 << 10}
}

// damageStore makes a store that has lived: several runs of files, overwritten and deleted
// rows, a task that was reset, a second start.
func damageStore(t *testing.T) (*vfs.MemFS, *history) {
	fs := vfs.NewMem()
	h := &history{task: map[core.TaskID][]string{}}
	n := 0
	rng := rand.New(rand.NewPCG(5, 5))
	for range 2 {
		db, err := openPebble(damageConfig(fs))
		fatal(t, err)
		stores := map[core.TaskID]Store{}
		for _, id := range damageTasks {
			stores[id], err = db.Open(id, damageTables)
			fatal(t, err)
		}
		g, err := db.OpenGlobal(damageGlobal)
		fatal(t, err)
		see := func() {
			for _, id := range damageTasks {
				text, err := taskText(stores[id])
				fatal(t, err)
				h.task[id] = append(h.task[id], text)
			}
			text, err := globalText(g)
			fatal(t, err)
			h.global = append(h.global, text)
		}
		see()
		for i := range 24 {
			for _, id := range damageTasks {
				n++
				var writes []core.Write
				for range 40 {
					w := core.Write{Table: core.TableID(rng.IntN(2)), Key: fmt.Appendf(nil, "key-%04d", rng.IntN(300)), Time: core.Time(n)}
					if rng.IntN(5) > 0 {
						w.Value = bytes.Repeat(fmt.Appendf(nil, "%d,%d;", n, rng.IntN(1000)), 1+rng.IntN(16))
					}
					writes = append(writes, w)
				}
				fatal(t, stores[id].Apply(writes, Checkpoint{
					Changelog: []core.Offset{core.Offset(n), core.Offset(2 * n)}, Input: []core.Offset{core.Offset(n)},
					Times: []core.Time{core.Time(n)}, Wall: core.Time(n),
				}))
				if i < 20 && rng.IntN(4) == 0 {
					fatal(t, stores[id].Flush())
				}
			}
			fatal(t, g.Apply([]core.Write{{Key: fmt.Appendf(nil, "%d", i%7), Value: fmt.Appendf(nil, "%d", n)}}, Checkpoint{Input: []core.Offset{core.Offset(n)}}))
			if i == 12 {
				fatal(t, stores[damageTasks[2]].Reset())
			}
			see()
		}
		fatal(t, g.Close())
		fatal(t, db.Close())
	}
	return fs, h
}

// taskText is all that can be read of a task.
func taskText(s Store) (string, error) {
	var b strings.Builder
	if cp, ok := s.Checkpoint(); ok {
		fmt.Fprintf(&b, "%v\n", cp)
	}
	for i := range damageTables {
		id := core.TableID(i)
		var rows []core.Write
		err := s.Scan(id, nil, nil, func(k, v []byte, at core.Time) bool {
			fmt.Fprintf(&b, "%d %s=%s@%d\n", i, k, v, at)
			rows = append(rows, core.Write{Key: bytes.Clone(k), Value: bytes.Clone(v), Time: at})
			return true
		})
		if err != nil {
			return "", err
		}
		// Each row once more by itself: it takes other blocks, filters among them.
		view := s.View(id)
		for _, r := range rows {
			v, at, ok, err := view.Get(r.Key, nil)
			if err != nil {
				return "", err
			}
			if !ok || at != r.Time || !bytes.Equal(v, r.Value) {
				fmt.Fprintf(&b, "by its key: %d %s=%s@%d %v\n", i, r.Key, v, at, ok)
			}
		}
		if dated, ok := view.(core.Dated); ok {
			_, err := dated.Due(0, 0, nil, func(key []byte, at, then core.Time) bool {
				fmt.Fprintf(&b, "due %s@%d,%d\n", key, at, then)
				return true
			})
			if err != nil {
				return "", err
			}
		}
	}
	return b.String(), nil
}

func globalText(g Global) (string, error) {
	var b strings.Builder
	if cp, ok := g.Checkpoint(); ok {
		fmt.Fprintf(&b, "%v\n", cp)
	}
	v, err := g.Version()
	if err != nil {
		return "", err
	}
	defer v.Release()
	err = v.Scan(nil, nil, func(k, v []byte, at core.Time) bool {
		fmt.Fprintf(&b, "%s=%s@%d\n", k, v, at)
		return true
	})
	return b.String(), err
}

// look opens the store and reads all of it. With more, it then writes and compacts, so that
// whatever Pebble reads for itself is read, too, and looks again after a new start.
func look(fs vfs.FS, more bool) (p picture, err error) {
	db, err := openPebble(damageConfig(fs))
	if err != nil {
		return p, err
	}
	open := true
	defer func() {
		if err2 := db.Close(); err == nil && open {
			err = err2
		}
	}()
	p.task = map[core.TaskID]string{}
	stores := map[core.TaskID]Store{}
	for _, id := range damageTasks {
		s, err := db.Open(id, damageTables)
		if err != nil {
			return p, err
		}
		stores[id] = s
		if p.task[id], err = taskText(s); err != nil {
			return p, err
		}
	}
	g, err := db.OpenGlobal(damageGlobal)
	if err != nil {
		return p, err
	}
	if p.global, err = globalText(g); err != nil {
		return p, err
	}
	if err := g.Close(); err != nil || !more {
		return p, err
	}
	// What was there is written once more, so that nothing changes.
	for _, id := range damageTasks {
		cp, ok := stores[id].Checkpoint()
		if !ok {
			continue
		}
		var writes []core.Write
		for i := range damageTables {
			err := stores[id].Scan(core.TableID(i), nil, nil, func(k, v []byte, at core.Time) bool {
				writes = append(writes, core.Write{Table: core.TableID(i), Key: bytes.Clone(k), Value: bytes.Clone(v), Time: at})
				return true
			})
			if err != nil {
				return p, err
			}
		}
		if err := stores[id].Apply(writes, cp); err != nil {
			return p, err
		}
	}
	if err := db.Flush(); err != nil {
		return p, err
	}
	if err := db.pdb.Compact(context.Background(), []byte{0}, []byte{0xff}, false); err != nil {
		return p, wrapDisk(db.cfg.Dir, err)
	}
	for _, id := range damageTasks {
		text, err := taskText(stores[id])
		if err != nil {
			return p, err
		}
		if text != p.task[id] {
			p.task[id] = "after a compaction: " + text
		}
	}
	return p, nil
}

// kindOf is what a file is: its name without numbers.
func kindOf(name string) string {
	switch base := path.Base(name); {
	case strings.HasPrefix(base, "marker."):
		return strings.Join(strings.Split(base, ".")[:2], ".")
	case strings.Contains(base, "-"):
		return base[:strings.Index(base, "-")]
	case strings.Contains(base, "."):
		return path.Ext(base)
	default:
		return base
	}
}

// files are the bytes of a store.
type files map[string][]byte

func readFiles(t *testing.T, fs vfs.FS) files {
	names, err := fs.List("db")
	fatal(t, err)
	all := files{}
	for _, n := range names {
		f, err := fs.Open("db/" + n)
		fatal(t, err)
		all[n], err = io.ReadAll(f)
		fatal(t, err)
		fatal(t, f.Close())
	}
	return all
}

func (a files) write() (vfs.FS, error) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("db", 0o755); err != nil {
		return nil, err
	}
	for n, b := range a {
		f, err := fs.Create("db/"+n, vfs.WriteCategoryUnspecified)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(bytes.Clone(b)); err != nil { // with the race detector MemFS writes over what it was given
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return fs, nil
}

// harm damages one file and says how: of each kind of file equally often, but more often those that hold something.
func (a files) harm(rng *rand.Rand) (harmed files, kind, how string) {
	byKind := map[string][]string{}
	for _, n := range slices.Sorted(maps.Keys(a)) {
		byKind[kindOf(n)] = append(byKind[kindOf(n)], n)
	}
	kinds := append(slices.Sorted(maps.Keys(byKind)), ".sst", ".sst", ".sst", ".sst", "MANIFEST", "MANIFEST")
	kind = kinds[rng.IntN(len(kinds))]
	name := byKind[kind][rng.IntN(len(byKind[kind]))]
	harmed = maps.Clone(a)
	b := bytes.Clone(a[name])
	way := rng.IntN(10)
	if len(b) == 0 && way < 7 || rng.IntN(40) == 0 {
		way = 7 + rng.IntN(3)
	}
	at := 0
	if len(b) > 0 {
		if at = rng.IntN(len(b)); rng.IntN(3) == 0 { // where footers and the last records are
			at = len(b) - 1 - rng.IntN(min(len(b), 200))
		}
	}
	stretch := b[at:min(len(b), at+1<<rng.IntN(13))]
	switch way {
	case 0, 1:
		b[at] ^= 1 << rng.IntN(8)
		how = "a bit"
	case 2, 3:
		b[at] ^= byte(1 + rng.IntN(255))
		how = "a byte"
	case 4:
		clear(stretch)
		how = "zeros"
	case 5:
		for i := range stretch {
			stretch[i] = byte(rng.Uint32())
		}
		how = "noise"
	case 6:
		b = b[:at]
		how = "cut"
	case 7:
		for range 1 + rng.IntN(100) {
			b = append(b, byte(rng.Uint32()))
		}
		how = "more at the end"
	case 8:
		delete(harmed, name)
		return harmed, kind, fmt.Sprintf("%s: lost", name)
	case 9: // its directory entry: a digit of the name
		c := []byte(name)
		for i := range c {
			if j := (i + rng.IntN(len(c))) % len(c); c[j] >= '0' && c[j] <= '9' {
				c[j] = byte('0' + rng.IntN(10))
				break
			}
		}
		delete(harmed, name)
		harmed[string(c)] = b
		return harmed, kind, fmt.Sprintf("%s: named %s", name, c)
	}
	harmed[name] = b
	return harmed, kind, fmt.Sprintf("%s: %s at %d of %d", name, how, at, len(a[name]))
}

// TestDamage harms a store LIMPET_DAMAGE times.
func TestDamage(t *testing.T) {
	out, child := ownProcess(t) // Pebble may leave goroutines behind in a store that is damaged
	if !child {
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "damage: ") {
				t.Log(strings.TrimSpace(line))
			}
		}
		return
	}
	tries := 300
	if v := os.Getenv("LIMPET_DAMAGE"); v != "" {
		var err error
		tries, err = strconv.Atoi(v)
		fatal(t, err)
	}
	fs, h := damageStore(t)
	whole := readFiles(t, fs)
	last := picture{task: map[core.TaskID]string{}, global: h.global[len(h.global)-1]}
	for id, texts := range h.task {
		last.task[id] = texts[len(texts)-1]
	}
	var mu sync.Mutex
	seen := map[string]map[string]int{}
	total := map[string]int{}
	began := time.Now()
	parallel(uint64(tries), func(try uint64) {
		rng := rand.New(rand.NewPCG(try, 99))
		harmed, kind, how := whole.harm(rng)
		fs, err := harmed.write()
		if err != nil {
			t.Error(err)
			return
		}
		type result struct {
			p   picture
			err error
		}
		done := make(chan result, 1)
		go func() {
			p, err := look(fs, rng.IntN(4) == 0)
			done <- result{p, err}
		}()
		var r result
		select {
		case r = <-done:
		case <-time.After(time.Minute):
			t.Errorf("try %d: %s: it hangs", try, how)
			return
		}
		outcome := "the last commit"
		switch {
		case r.err != nil:
			outcome = "another error"
			for _, e := range []error{ErrCorrupt, ErrForeign, ErrVersion} {
				if errors.Is(r.err, e) {
					outcome = strings.TrimPrefix(e.Error(), "statestore: ")
				}
			}
			if outcome == "another error" {
				t.Errorf("try %d: %s: the error does not say what it is: %v", try, how, r.err)
			}
		case h.allows(r.p) != nil:
			outcome = "WRONG"
			t.Errorf("try %d: %s: %v", try, how, h.allows(r.p))
		case !maps.Equal(r.p.task, last.task) || r.p.global != last.global:
			outcome = "an earlier commit"
		}
		mu.Lock()
		defer mu.Unlock()
		if seen[kind] == nil {
			seen[kind] = map[string]int{}
		}
		seen[kind][outcome]++
		total[outcome]++
	})
	for _, kind := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("damage: %-22s %v", kind, seen[kind])
	}
	t.Logf("damage: %d tries in %v: %v", tries, time.Since(began).Round(time.Second), total)
	if total["corrupt"] == 0 || total["the last commit"] == 0 {
		t.Error("the damage is not what it should be")
	}
}

// A row that is another one, where all checksums are right, is seen by the test above.
func TestDamageIsSeen(t *testing.T) {
	fs, h := damageStore(t)
	for _, plant := range []func(b *pebble.Batch, key []byte) error{
		func(b *pebble.Batch, key []byte) error { return b.Set(key, []byte("12345678another"), nil) },
		func(b *pebble.Batch, key []byte) error { return b.Delete(key, nil) },
	} {
		fs, err := readFiles(t, fs).write()
		fatal(t, err)
		if p, err := look(fs, true); err != nil || h.allows(p) != nil {
			t.Fatalf("before: %v, %v", err, h.allows(p))
		}
		db, err := openPebble(damageConfig(fs))
		fatal(t, err)
		it, err := db.pdb.NewIter(nil)
		fatal(t, err)
		if !it.SeekGE(tablePrefix(damageTasks[1], 1)) {
			t.Fatal("no row")
		}
		b := db.pdb.NewBatch()
		fatal(t, plant(b, bytes.Clone(it.Key())))
		fatal(t, it.Close())
		fatal(t, db.commit(b))
		fatal(t, db.Close())
		p, err := look(fs, false)
		if err != nil || h.allows(p) == nil {
			t.Fatalf("not seen: %v", err)
		}
	}
}
