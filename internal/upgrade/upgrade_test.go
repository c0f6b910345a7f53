package upgrade

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// stopAt is how many of the records come before the stop, of how many.
const stopAt, recordsAll = 75, 150

// send sends the records from one to another, about one a second.
func send(d *topologytest.Driver, from, to int) {
	start := topologytest.At("00:00:00")
	for i := from; i < to; i++ {
		value := fmt.Sprintf("%c%d", 'a'+rune(i%4), i)
		r := core.Record[string, string]{Key: fmt.Sprint("k", i*7/3%5), Value: value, Time: start + core.Time(i*1000)}
		switch {
		case i%10 == 3:
			r.Value = fmt.Sprintf("%c of %d", 'a'+rune(i%3), i)
			topologytest.Topic(d, rows).SendRecord(r)
		case i%10 == 5:
			r.Key = string('a' + rune(i/10%4))
			topologytest.Topic(d, facts).SendRecord(r)
		case i%10 == 7:
			r.Time -= 3000 // between the versions
			topologytest.Topic(d, prices).SendRecord(r)
		case i%10 == 8:
			// Out of order, before the stop and behind it, and one never comes.
			r.Key, r.Value = fmt.Sprint("k", i/10%2), fmt.Sprint([]int{2, 1, 4, 5, 3, 7, 8, 9}[i/20])
			topologytest.Topic(d, numbered).SendRecord(r)
		case i%3 == 0:
			topologytest.Topic(d, other).SendRecord(r)
		default:
			r.Headers = r.Headers.With("trace", fmt.Sprint("t", i))
			topologytest.Topic(d, in).SendRecord(r)
		}
	}
}

// What came out since it was asked for last, a line a record.
func came(d *topologytest.Driver) []string {
	var lines []string
	for _, r := range topologytest.Topic(d, out).Records() {
		lines = append(lines, fmt.Sprintf("%s: %s @%d %v", r.Key, r.Value, r.Time, maps.Collect(r.Headers.All())))
	}
	return lines
}

// goOn has what comes behind the stop: records, and all that comes due behind the last of them.
func goOn(d *topologytest.Driver, state *stateOf) (lines []string, rows map[string]map[string]string) {
	came(d)
	send(d, stopAt, recordsAll)
	lines, rows = came(d), state.rows()
	d.Advance(2 * time.Hour) // wall timers
	d.Elapse(10 * time.Minute)
	return append(lines, came(d)...), rows
}

// stateOf is the state of all tasks while a driver runs.
type stateOf struct {
	t      testing.TB
	db     statestore.DB
	stores map[core.TaskID]*taskState
	// found says that the rows are in db, or are those that the records of restore lead to.
	found   bool
	restore []logged
}

func newState(t testing.TB, db statestore.DB) *stateOf {
	s := &stateOf{t: t, db: db, stores: map[core.TaskID]*taskState{}}
	t.Cleanup(s.close)
	return s
}

func (s *stateOf) close() {
	for _, st := range s.stores {
		must(s.t, st.Close())
	}
	clear(s.stores)
	if s.db != nil {
		must(s.t, s.db.Close())
	}
	s.db = nil
}

// open opens a task's store.
func (s *stateOf) open(_ string, id core.TaskID, tables []topology.TableSpec) topologytest.Store {
	var specs []statestore.TableSpec
	for _, tb := range tables {
		specs = append(specs, statestore.TableSpec{Name: tb.Name, Schema: tb.Schema, DueOf: tb.DueOf})
	}
	st, err := s.db.Open(id, specs)
	must(s.t, err)
	task := &taskState{Store: st, tables: tables, cp: statestore.Checkpoint{Changelog: make([]core.Offset, len(tables))}, found: s.found}
	s.stores[id] = task
	var writes []core.Write
	for _, l := range s.restore {
		if i := slices.IndexFunc(tables, func(tb topology.TableSpec) bool { return tb.Name == l.log }); i >= 0 {
			writes = append(writes, core.Restored(core.TableID(i), tables[i].History > 0, l.record(s.t)))
		}
	}
	if s.restore != nil {
		must(s.t, st.Apply(writes, task.cp))
	}
	return task
}

// rows are the rows of each table.
func (s *stateOf) rows() map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, st := range s.stores {
		for i, tb := range st.tables {
			rows := map[string]string{}
			must(s.t, st.Scan(core.TableID(i), nil, nil, func(k, v []byte, at core.Time) bool {
				rows[fmt.Sprintf("%x", k)] = fmt.Sprintf("%x@%d", v, at)
				return true
			}))
			all[tb.Name] = rows
		}
	}
	return all
}

// taskState is a topologytest.Store that keeps the records of the changelogs.
type taskState struct {
	statestore.Store
	tables []topology.TableSpec
	cp     statestore.Checkpoint
	log    []logged
	// found says that the state is there: what the driver restores at first is not taken.
	found bool
}

// Apply implements topologytest.Store.
func (s *taskState) Apply(writes []core.Write) error {
	if s.found {
		s.found = false
		return nil
	}
	for i := range writes {
		if r, ok := writes[i].Log(); ok {
			s.log = append(s.log, newLogged(s.tables[writes[i].Table].Name, &r))
		}
	}
	return s.Store.Apply(writes, s.cp)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memory is the state of a run that never stops.
func memory(t testing.TB) *stateOf { return newState(t, statestore.NewMemory()) }

// State of each earlier version leads to what comes out where nothing is stopped.
func TestUpgrade(t *testing.T) {
	state := memory(t)
	d := topologytest.Config{Open: state.open}.New(t, everything())
	send(d, 0, stopAt)
	want, wantRows := goOn(d, state)
	if n := len(byOperator(want)); n != shown {
		t.Fatalf("%d operators have results behind the stop, not all %d: %q", n, shown, slices.Sorted(maps.Keys(byOperator(want))))
	}
	for _, name := range fixtures(t) {
		for how, open := range map[string]func(*testing.T, *fixture) *stateOf{"its directory": directory, "its changelogs": restored} {
			t.Run(name+", "+how, func(t *testing.T) {
				before, after := memory(t), open(t, read(t, name))
				now := before
				d := topologytest.Config{Open: func(app string, id core.TaskID, tables []topology.TableSpec) topologytest.Store {
					return now.open(app, id, tables)
				}}.New(t, everything())
				send(d, 0, stopAt)
				came(d)
				now = after
				d.Crash()
				got, gotRows := goOn(d, after)
				for op, lines := range byOperator(want) {
					if has := byOperator(got)[op]; !slices.Equal(has, lines) {
						t.Errorf("%s: other results than where nothing is stopped:\n%q\nwant\n%q", op, has, lines)
					}
				}
				if len(got) != len(want) {
					t.Errorf("%d results, want %d", len(got), len(want))
				}
				for table, rows := range wantRows {
					if len(gotRows[table]) != len(rows) || name == newest(t) && !maps.Equal(gotRows[table], rows) {
						t.Errorf("table %s: %d rows, which are not the %d where nothing is stopped", table, len(gotRows[table]), len(rows))
					}
				}
			})
		}
	}
}

// byOperator are the lines of each, in their order.
func byOperator(lines []string) map[string][]string {
	by := map[string][]string{}
	for _, l := range lines {
		op, _, _ := strings.Cut(l, ":")
		by[op] = append(by[op], l)
	}
	return by
}
