package statestore

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed-81380e12/limpet/core"
)

// A table that was written by a version that knew no order in which its rows come due goes on
// without it, and a new one beside it has it.
func TestOldTablesHaveNoOrder(t *testing.T) {
	cfg := PebbleConfig{Dir: t.TempDir(), App: "shop"}
	id := core.TaskID{}
	rows := TableSpec{Name: "rows", Schema: "string -> string"}
	db, err := openPebble(cfg)
	fatal(t, err)
	s, err := db.Open(id, []TableSpec{rows})
	fatal(t, err)
	fatal(t, s.Apply([]core.Write{{Key: []byte("a"), Value: []byte("x"), Time: 5}}, Checkpoint{Changelog: []core.Offset{1}}))
	fatal(t, s.Close())
	fatal(t, db.pdb.Set(metaKey, []byte(`{"format":2,"app":"shop"}`), pebble.NoSync))
	fatal(t, db.pdb.Flush())
	fatal(t, db.Close())

	rows.DueOf = core.DueByTime()
	more := TableSpec{Name: "more", Schema: "string -> string", DueOf: core.DueByTime()}
	db, err = openPebble(cfg)
	fatal(t, err)
	s, err = db.Open(id, []TableSpec{rows, more})
	fatal(t, err)
	cp, ok := s.Checkpoint()
	if !ok {
		t.Fatal("the checkpoint is gone")
	}
	for n := range 3 { // on disk and in memory
		fatal(t, s.Apply([]core.Write{
			{Key: []byte("a"), Value: []byte("y"), Time: core.Time(7 + n)},
			{Table: 1, Key: []byte("b"), Value: []byte("y"), Time: core.Time(7 + n)},
		}, cp))
		if ok, err := s.View(0).(core.Dated).Due(0, 0, nil, nil); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		var found []string
		ok, err := s.View(1).(core.Dated).Due(0, 0, nil, func(key []byte, at, then core.Time) bool {
			found = append(found, fmt.Sprintf("%s %d %d", key, at, then))
			return true
		})
		if want := fmt.Sprintf("[b %d 0]", 7+n); !ok || err != nil || fmt.Sprint(found) != want {
			t.Errorf("%v, want %s: %v, %v", found, want, ok, err)
		}
		if _, at, ok, err := s.View(0).Get([]byte("a"), nil); !ok || err != nil || at != core.Time(7+n) {
			t.Errorf("%v %v %v", at, ok, err)
		}
		fatal(t, s.Flush())
	}
	fatal(t, s.Close())
	fatal(t, db.Close())
	db, err = openPebble(cfg)
	fatal(t, err)
	fatal(t, db.Close())
}
