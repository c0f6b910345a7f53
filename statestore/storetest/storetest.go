package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// reporter is what testing.TB and rapid.T have in common.
type reporter interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// Factory makes one DB again and again over the same place.
type Factory interface {
	// Open opens the DB, with what the last one left there.
	Open(t testing.TB) statestore.DB
	// Crash ends a DB that Open returned, as the loss of power would.
	Crash(t testing.TB, db statestore.DB)
}

// Run tests the implementation. open returns a factory over an empty place.
func Run(t *testing.T, open func(testing.TB) Factory) {
	for _, c := range []struct {
		name string
		f    func(*testing.T, Factory)
	}{
		{"Rows", testRows},
		{"EmptyIsNotAbsent", testEmpty},
		{"LastWriteWins", testLastWrite},
		{"Ownership", testOwnership},
		{"Scan", testScan},
		{"Checkpoint", testCheckpoint},
		{"Isolation", testIsolation},
		{"Reopen", testReopen},
		{"Crash", testCrash},
		{"Large", testLarge},
		{"Limits", testLimits},
		{"Reset", testReset},
		{"Schema", testSchema},
		{"TableOrder", testTableOrder},
		{"Open", testOpen},
		{"Closed", testClosed},
		{"Bulk", testBulk},
		{"Workers", testWorkers},
		{"Model", testModel},
		{"Global", testGlobal},
		{"GlobalModel", testGlobalModel},
		{"GlobalReaders", testGlobalReaders},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, open(t)) })
	}
}

var tables = []statestore.TableSpec{
	{Name: "customers", Schema: "string -> json:Customer", DueOf: &core.DueOrder{InRow: true, Of: dueOfRow}},
	{Name: "orders", Schema: "string -> json:Order", DueOf: &core.DueOrder{Of: dueOfKey}},
}

// dueOfKey has rows come due by the last bytes of their keys, then by the keys' lengths.
func dueOfKey(key, _ []byte, _ core.Time) (at, then core.Time, ok bool) {
	if len(key) == 0 {
		return 0, 0, true
	}
	return core.Time(key[len(key)-1]), core.Time(len(key)), true
}

// dueOfRow has them come due by their times, of which some are the same, then by their lengths.
func dueOfRow(_, value []byte, at core.Time) (due, then core.Time, ok bool) {
	return at / 3, core.Time(len(value)), true
}

// due returns the rows from a place on in the order in which they come due, as "at/then key".
func due(t reporter, s statestore.Store, table core.TableID, at, then core.Time, key string, most int) []string {
	t.Helper()
	view, ok := s.View(table).(core.Dated)
	if !ok {
		t.Fatalf("the view of table %d is not Dated", table)
	}
	var rows []string
	ok, err := view.Due(at, then, []byte(key), func(key []byte, at, then core.Time) bool {
		rows = append(rows, dueText(at, then, string(key)))
		return len(rows) != most
	})
	must(t, err)
	if !ok {
		t.Fatalf("table %d has no such order", table)
	}
	return rows
}

// dueText sorts as the order does.
func dueText(at, then core.Time, key string) string {
	return fmt.Sprintf("%08d/%08d %s", at, then, key)
}

var task = core.TaskID{Sub: 0, Partition: 3}

func put(table core.TableID, key, value string, at core.Time) core.Write {
	return core.Write{Table: table, Key: []byte(key), Value: []byte(value), Time: at}
}

func del(table core.TableID, key string, at core.Time) core.Write {
	return core.Write{Table: table, Key: []byte(key), Time: at}
}

// cp is the n-th checkpoint of a task.
func cp(n int) statestore.Checkpoint {
	return statestore.Checkpoint{
		Changelog: []core.Offset{core.Offset(n * 10), -1},
		Input:     []core.Offset{core.Offset(n), core.Offset(n * 100)},
		Times:     []core.Time{core.Time(n * 1000), core.NoTime},
		Wall:      core.Time(1_700_000_000_000 + n),
	}
}

func open(t testing.TB, db statestore.DB, id core.TaskID) statestore.Store {
	t.Helper()
	s, err := db.Open(id, tables)
	must(t, err)
	return s
}

func must(t reporter, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t reporter, err, want error, parts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Fatalf("error %q does not say %q", err, p)
		}
	}
}

// get returns the row as text: "value@time", or "-".
func get(t reporter, s statestore.Store, table core.TableID, key string) string {
	t.Helper()
	const before = "before:"
	v, at, ok, err := s.View(table).Get([]byte(key), []byte(before))
	must(t, err)
	if !ok {
		return "-"
	}
	if !strings.HasPrefix(string(v), before) {
		t.Fatalf("Get(%q) does not append to its buffer: %q", key, v)
	}
	return fmt.Sprintf("%s@%d", v[len(before):], at)
}

func wantGet(t reporter, s statestore.Store, table core.TableID, key, want string) {
	t.Helper()
	if got := get(t, s, table, key); got != want {
		t.Fatalf("table %d, key %q: %.80s, want %.80s", table, key, got, want)
	}
}

// scan returns the rows as "key=value@time".
func scan(t reporter, s statestore.Store, table core.TableID, lo, hi []byte, most int) []string {
	t.Helper()
	var rows []string
	must(t, s.Scan(table, lo, hi, func(k, v []byte, at core.Time) bool {
		rows = append(rows, fmt.Sprintf("%s=%s@%d", k, v, at))
		return len(rows) != most
	}))
	return rows
}

func wantScan(t reporter, s statestore.Store, table core.TableID, lo, hi []byte, most int, want ...string) {
	t.Helper()
	if got := scan(t, s, table, lo, hi, most); !slices.Equal(got, want) {
		t.Fatalf("Scan(%d, %q, %q) = %q, want %q", table, lo, hi, got, want)
	}
	var rows []string
	must(t, s.View(table).Scan(lo, hi, func(k, v []byte, at core.Time) bool {
		rows = append(rows, fmt.Sprintf("%s=%s@%d", k, v, at))
		return len(rows) != most
	}))
	if !slices.Equal(rows, want) {
		t.Fatalf("View(%d).Scan(%q, %q) = %q, want %q", table, lo, hi, rows, want)
	}
}

func wantCheckpoint(t testing.TB, s statestore.Store, want statestore.Checkpoint) {
	t.Helper()
	got, ok := s.Checkpoint()
	if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("checkpoint %v %v, want %v", got, ok, want)
	}
}

func wantNothing(t testing.TB, s statestore.Store) {
	t.Helper()
	if got, ok := s.Checkpoint(); ok {
		t.Fatalf("checkpoint %v, want none", got)
	}
	for i := range tables {
		wantScan(t, s, core.TableID(i), nil, nil, 0)
	}
}

func testRows(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	wantNothing(t, s)
	wantGet(t, s, 0, "ada", "-")
	must(t, s.Apply([]core.Write{put(0, "ada", "1", 5), put(0, "bob", "2", 6), put(1, "ada", "3", 7)}, cp(1)))
	for range 2 { // before and after it went to disk
		wantGet(t, s, 0, "ada", "1@5")
		wantGet(t, s, 0, "bob", "2@6")
		wantGet(t, s, 1, "ada", "3@7")
		wantGet(t, s, 1, "bob", "-")
		wantGet(t, s, 0, "ad", "-")
		wantGet(t, s, 0, "adaa", "-")
		wantGet(t, s, 0, "", "-")
		must(t, s.Flush())
	}
	must(t, s.Apply([]core.Write{del(0, "ada", 8), put(0, "bob", "longer than before", 9), del(1, "nobody", 9)}, cp(2)))
	for range 2 {
		wantGet(t, s, 0, "ada", "-")
		wantGet(t, s, 0, "bob", "longer than before@9")
		wantGet(t, s, 1, "ada", "3@7")
		wantGet(t, s, 1, "nobody", "-")
		must(t, s.Flush())
	}
	must(t, s.Apply([]core.Write{put(0, "ada", "back", -1), put(0, "", "empty key", 1<<62)}, cp(3)))
	for range 2 {
		wantGet(t, s, 0, "ada", "back@-1")
		wantGet(t, s, 0, "", "empty key@4611686018427387904")
		must(t, db.Flush())
	}
	must(t, db.Close())
}

func testEmpty(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	must(t, s.Apply([]core.Write{{Key: []byte("empty"), Value: []byte{}, Time: 1}, {Key: []byte("none"), Time: 1}}, cp(1)))
	for range 2 {
		wantGet(t, s, 0, "empty", "@1")
		wantGet(t, s, 0, "none", "-")
		wantScan(t, s, 0, nil, nil, 0, "empty=@1")
		must(t, s.Close())
		s = open(t, db, task)
	}
	must(t, db.Close())
}

func testLastWrite(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	must(t, s.Apply([]core.Write{
		put(0, "a", "1", 1), put(0, "b", "1", 1), del(0, "a", 2), put(0, "a", "3", 3), put(0, "b", "2", 2), del(0, "b", 3),
	}, cp(1)))
	wantGet(t, s, 0, "a", "3@3")
	wantGet(t, s, 0, "b", "-")
	must(t, db.Close())
}

// The memory of an Apply is the caller's again at once, and that of a Get the caller's for good.
func testOwnership(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	key, value := []byte("key"), []byte("value")
	c := cp(1)
	must(t, s.Apply([]core.Write{{Key: key, Value: value, Time: 1}}, c))
	copy(key, "xxx")
	copy(value, "yyyyy")
	c.Input[0], c.Changelog[0], c.Times[0] = 99, 99, 99
	wantGet(t, s, 0, "key", "value@1")
	wantCheckpoint(t, s, cp(1))
	got, _ := s.Checkpoint()
	got.Input[0] = 77
	wantCheckpoint(t, s, cp(1))
	for range 2 {
		v, _, _, err := s.View(0).Get([]byte("key"), nil)
		must(t, err)
		copy(v, "zzzzz")
		wantGet(t, s, 0, "key", "value@1")
		must(t, s.Close())
		s = open(t, db, task)
	}
	must(t, db.Close())
}

func testScan(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	must(t, s.Apply([]core.Write{put(0, "b", "1", 1), put(0, "d", "1", 1), put(0, "c", "1", 1), put(1, "bb", "other", 1)}, cp(1)))
	must(t, s.Flush())
	must(t, s.Apply([]core.Write{put(0, "a", "2", 2), del(0, "b", 2), put(0, "c", "2", 2), put(0, "\xff\xff", "last", 2)}, cp(2)))
	for range 2 {
		wantScan(t, s, 0, nil, nil, 0, "a=2@2", "c=2@2", "d=1@1", "\xff\xff=last@2")
		wantScan(t, s, 0, []byte("c"), nil, 0, "c=2@2", "d=1@1", "\xff\xff=last@2")
		wantScan(t, s, 0, nil, []byte("c"), 0, "a=2@2")
		wantScan(t, s, 0, []byte("b"), []byte("d"), 0, "c=2@2")
		wantScan(t, s, 0, []byte("c"), []byte("c\x00"), 0, "c=2@2")
		wantScan(t, s, 0, []byte("c"), []byte("c"), 0)
		wantScan(t, s, 0, []byte("d"), []byte("a"), 0)
		wantScan(t, s, 0, nil, []byte{}, 0)
		wantScan(t, s, 0, []byte("\xff"), nil, 0, "\xff\xff=last@2")
		wantScan(t, s, 0, []byte("x"), []byte("y"), 0)
		wantScan(t, s, 0, nil, nil, 2, "a=2@2", "c=2@2")
		wantScan(t, s, 1, nil, nil, 0, "bb=other@1")
		must(t, s.Flush())
	}
	must(t, db.Close())
}

func testCheckpoint(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	must(t, s.Apply(nil, cp(1))) // no rows: input and times move alone
	wantCheckpoint(t, s, cp(1))
	must(t, s.Close())
	s = open(t, db, task)
	wantCheckpoint(t, s, cp(1))
	c := statestore.Checkpoint{Changelog: []core.Offset{1 << 60, 0}, Wall: -5}
	must(t, s.Apply(nil, c))
	must(t, db.Close())
	db = f.Open(t)
	s = open(t, db, task)
	wantCheckpoint(t, s, c)
	if err := s.Apply(nil, statestore.Checkpoint{Changelog: []core.Offset{1}}); err == nil {
		t.Fatal("a checkpoint with too few changelogs is taken")
	}
	wantCheckpoint(t, s, c)
	must(t, db.Close())
}

func testIsolation(t *testing.T, f Factory) {
	db := f.Open(t)
	ids := []core.TaskID{{Sub: 0, Partition: 0}, {Sub: 0, Partition: 1}, {Sub: 1, Partition: 0}, {Sub: 1, Partition: 256}, {Sub: 256, Partition: 1}}
	var list []statestore.Store
	for i, id := range ids {
		s := open(t, db, id)
		list = append(list, s)
		must(t, s.Apply([]core.Write{put(0, "k", fmt.Sprint(i), 1), put(1, "k", fmt.Sprint(-i), 1)}, cp(i)))
	}
	must(t, list[2].Flush())
	must(t, list[1].Reset())
	for range 2 {
		for i, s := range list {
			if i == 1 {
				wantNothing(t, s)
				continue
			}
			wantGet(t, s, 0, "k", fmt.Sprintf("%d@1", i))
			wantScan(t, s, 1, nil, nil, 0, fmt.Sprintf("k=%d@1", -i))
			wantCheckpoint(t, s, cp(i))
		}
		if got := db.Tasks(); !slices.Equal(got, append(ids[:1:1], ids[2:]...)) {
			t.Fatalf("Tasks() = %v", got)
		}
		must(t, db.Close())
		db = f.Open(t)
		for i, id := range ids {
			list[i] = open(t, db, id)
		}
	}
	must(t, db.Close())
}

func testReopen(t *testing.T, f Factory) {
	for i := 1; i < 5; i++ {
		db := f.Open(t)
		s := open(t, db, task)
		if i > 1 {
			wantCheckpoint(t, s, cp(i-1))
			wantScan(t, s, 0, nil, nil, 0, fmt.Sprintf("k=%d@%d", i-1, i-1))
		}
		must(t, s.Apply([]core.Write{put(0, "k", fmt.Sprint(i), core.Time(i))}, cp(i)))
		if i%2 == 0 {
			must(t, s.Close())
		}
		must(t, db.Close())
	}
}

func testCrash(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	must(t, s.Apply([]core.Write{put(0, "a", "1", 1), put(0, "b", "1", 1)}, cp(1)))
	must(t, s.Flush())
	must(t, s.Apply([]core.Write{put(0, "a", "2", 2), del(0, "b", 2), put(0, "c", "2", 2)}, cp(2)))
	f.Crash(t, db)
	db = f.Open(t)
	s = open(t, db, task)
	// What was flushed is there; what was not may be, but as a whole.
	switch got, _ := s.Checkpoint(); got.Input[0] {
	case 1:
		wantScan(t, s, 0, nil, nil, 0, "a=1@1", "b=1@1")
	case 2:
		wantScan(t, s, 0, nil, nil, 0, "a=2@2", "c=2@2")
	default:
		t.Fatalf("after the crash: checkpoint %v", got)
	}
	must(t, s.Close())
	f.Crash(t, db) // behind a Close it loses nothing
	db = f.Open(t)
	if got := db.Tasks(); !slices.Equal(got, []core.TaskID{task}) {
		t.Fatalf("Tasks() = %v", got)
	}
	must(t, db.Close())
	f.Crash(t, db)
	must(t, f.Open(t).Close())
}

func testLarge(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	rng := rand.New(rand.NewPCG(1, 2))
	blob := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	rows := map[string][]byte{}
	var writes []core.Write
	for _, n := range []int{1, 255, 256, 65535, 65536} {
		writes = append(writes, core.Write{Key: blob(n), Value: blob(100)})
	}
	for _, n := range []int{0, 1 << 10, 200 << 10, 256 << 10, 1<<20 - 1, 1 << 20, 3 << 20} {
		writes = append(writes, core.Write{Key: blob(16), Value: blob(n)})
	}
	for _, w := range writes {
		rows[string(w.Key)] = w.Value
	}
	must(t, s.Apply(writes, cp(1)))
	check := func() {
		t.Helper()
		for k, v := range rows {
			got, _, ok, err := s.View(0).Get([]byte(k), nil)
			must(t, err)
			if !ok || !bytes.Equal(got, v) {
				t.Fatalf("key of %d bytes, value of %d: found %v, %d bytes", len(k), len(v), ok, len(got))
			}
		}
		keys := slices.Sorted(maps.Keys(rows))
		must(t, s.Scan(0, nil, nil, func(k, v []byte, _ core.Time) bool {
			if len(keys) == 0 || string(k) != keys[0] || !bytes.Equal(v, rows[keys[0]]) {
				t.Fatalf("scan: key of %d bytes is wrong", len(k))
			}
			keys = keys[1:]
			return true
		}))
		if len(keys) > 0 {
			t.Fatalf("scan: %d rows are missing", len(keys))
		}
	}
	check()
	must(t, db.Close())
	db = f.Open(t)
	s = open(t, db, task)
	check()
	for i := range writes { // shrink and grow
		writes[i].Value = blob(rng.IntN(600 << 10))
		rows[string(writes[i].Key)] = writes[i].Value
	}
	must(t, s.Apply(writes, cp(2)))
	check()
	must(t, db.Close())
}

func testLimits(t *testing.T, f Factory) {
	db := f.Open(t)
	s := open(t, db, task)
	must(t, s.Apply([]core.Write{put(0, "k", "v", 1)}, cp(1)))
	err := s.Apply([]core.Write{put(0, "k", "w", 2), {Key: make([]byte, statestore.MaxKey+1), Value: []byte{}}}, cp(2))
	wantErr(t, err, statestore.ErrLimit, "customers")
	if err := s.Apply([]core.Write{put(0, "k", "w", 2), put(2, "k", "w", 2)}, cp(2)); err == nil {
		t.Fatal("a write to a table that is not open is taken")
	}
	wantGet(t, s, 0, "k", "v@1") // nothing of it
	wantCheckpoint(t, s, cp(1))
	must(t, db.Close())
}
