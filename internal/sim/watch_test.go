package sim

import (
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// forgetful loses in a crash what was flushed, too.
type forgetful struct{ *statestore.Memory }

func (d *forgetful) Crash() { d.Memory = statestore.NewMemory() }

// A checkpoint may go back by Reset, and by a crash as far as the last flush, and in no other way.
func TestWatched(t *testing.T) {
	cp := func(changelog, input core.Offset) statestore.Checkpoint {
		return statestore.Checkpoint{Changelog: []core.Offset{changelog}, Input: []core.Offset{input}, Times: []core.Time{core.Time(input)}}
	}
	restored := func(changelog core.Offset) statestore.Checkpoint {
		return statestore.Checkpoint{Changelog: []core.Offset{changelog}}
	}
	do := func(d disk, what string, st *statestore.Store, to statestore.Checkpoint) (err error) {
		switch what {
		case "apply":
			return (*st).Apply(nil, to)
		case "reset":
			return (*st).Reset()
		case "flush":
			return d.Flush()
		case "crash":
			d.Crash()
		case "close":
			if err = d.Close(); err == nil {
				d.Reopen()
			}
		}
		if err == nil {
			*st, err = d.Open(core.TaskID{}, []statestore.TableSpec{{Name: "t"}})
		}
		return err
	}
	type step struct {
		what string
		to   statestore.Checkpoint
	}
	none := statestore.Checkpoint{}
	for _, c := range []struct {
		name  string
		disk  disk
		steps []step
		want  Check // "": nothing
	}{
		{"forward", nil, []step{{"apply", cp(1, 1)}, {"apply", cp(1, 2)}, {"apply", cp(3, 2)}}, ""},
		{"the changelog goes back", nil, []step{{"apply", cp(3, 1)}, {"apply", cp(2, 2)}}, checkPointsBack},
		{"the input goes back", nil, []step{{"apply", cp(3, 2)}, {"apply", cp(3, 1)}}, checkPointsBack},
		{"the input goes back over a restore", nil, []step{{"apply", cp(3, 2)}, {"apply", restored(4)}, {"apply", cp(4, 1)}}, checkPointsBack},
		{"reset", nil, []step{{"apply", cp(3, 2)}, {"reset", none}, {"apply", restored(1)}, {"apply", cp(2, 1)}}, ""},
		{"a crash", nil, []step{{"apply", cp(1, 1)}, {"flush", none}, {"apply", cp(2, 2)}, {"crash", none}, {"apply", cp(1, 1)}}, ""},
		{"a crash takes a reset back", nil, []step{{"apply", cp(2, 2)}, {"flush", none}, {"reset", none}, {"crash", none}, {"apply", cp(1, 1)}}, checkPointsBack},
		{"a crash and another one", nil, []step{{"apply", cp(2, 2)}, {"crash", none}, {"crash", none}, {"apply", cp(1, 1)}}, ""},
		{"closed", nil, []step{{"apply", cp(2, 2)}, {"close", none}, {"crash", none}, {"apply", cp(1, 1)}}, checkPointsBack},
		{"what was flushed is lost", &forgetful{statestore.NewMemory()}, []step{{"apply", cp(1, 1)}, {"flush", none}, {"apply", cp(2, 2)}, {"crash", none}}, checkFlushed},
		{"what was not flushed is lost", &forgetful{statestore.NewMemory()}, []step{{"apply", cp(1, 1)}, {"crash", none}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{}
			w.trace.last = make([]event, 1)
			if c.disk == nil {
				c.disk = memory{statestore.NewMemory()}
			}
			d := w.watch(c.disk)
			var st statestore.Store
			if err := do(d, "open", &st, none); err != nil {
				t.Fatal(err)
			}
			for i, s := range c.steps {
				if w.err != nil {
					t.Fatalf("before step %d: %v", i, w.err)
				}
				if err := do(d, s.what, &st, s.to); err != nil {
					t.Fatal(err)
				}
			}
			if got := w.err; got == nil && c.want != "" || got != nil && got.Check != c.want {
				t.Errorf("found %v; want %q", got, c.want)
			}
		})
	}
}
