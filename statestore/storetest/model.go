package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// model is what a task must hold: one map per table.
type model struct {
	rows [2]map[string]string // key to "value@time"
	cp   string               // "" is none
}

func newModel() *model {
	return &model{rows: [2]map[string]string{{}, {}}}
}

func (m *model) clone() *model {
	return &model{rows: [2]map[string]string{maps.Clone(m.rows[0]), maps.Clone(m.rows[1])}, cp: m.cp}
}

// same compares all that the store has with the model.
func (m *model) same(s statestore.Store) error {
	got := newModel()
	if cp, ok := s.Checkpoint(); ok {
		got.cp = fmt.Sprint(cp)
	}
	if got.cp != m.cp {
		return fmt.Errorf("checkpoint %s, want %s", got.cp, m.cp)
	}
	for i := range m.rows {
		prev := ""
		err := s.Scan(core.TableID(i), nil, nil, func(k, v []byte, at core.Time) bool {
			if len(got.rows[i]) > 0 && string(k) <= prev {
				prev = "order"
				return false
			}
			prev = string(k)
			got.rows[i][prev] = fmt.Sprintf("%s@%d", v, at)
			return true
		})
		if err != nil {
			return err
		}
		if !maps.Equal(got.rows[i], m.rows[i]) {
			return fmt.Errorf("table %d at %s: %d rows, want %d; first difference %s", i, m.cp, len(got.rows[i]), len(m.rows[i]), difference(got.rows[i], m.rows[i]))
		}
	}
	for i := range m.rows {
		if err := m.sameDue(s, core.TableID(i)); err != nil {
			return fmt.Errorf("table %d at %s: %w", i, m.cp, err)
		}
	}
	return nil
}

// dueOf says when a row of the model comes due.
func dueOf(table core.TableID, key, row string) (at, then core.Time) {
	value, time, _ := strings.Cut(row, "@")
	n, _ := strconv.Atoi(time)
	at, then, _ = tables[table].DueOf.Of([]byte(key), []byte(value), core.Time(n))
	return at, then
}

// due is the order in which the rows of a table come due, from a place on.
func (m *model) due(table core.TableID, from string) []string {
	rows := []string{}
	for k, row := range m.rows[table] {
		at, then := dueOf(table, k, row)
		if text := dueText(at, then, k); text >= from {
			rows = append(rows, text)
		}
	}
	slices.Sort(rows)
	return rows
}

func (m *model) sameDue(s statestore.Store, table core.TableID) error {
	view := s.View(table).(core.Dated)
	want, got := m.due(table, ""), []string{}
	ok, err := view.Due(0, 0, nil, func(key []byte, at, then core.Time) bool {
		got = append(got, dueText(at, then, string(key)))
		return true
	})
	if err != nil || !ok || !slices.Equal(got, want) {
		return fmt.Errorf("rows come due as %q, want %q; %v, %w", got, want, ok, err)
	}
	last := core.NoTime
	if len(want) > 0 {
		if _, err := fmt.Sscanf(want[len(want)-1], "%d/", &last); err != nil {
			return err
		}
	}
	if at, ok, err := view.LastDue(); at != last || !ok || err != nil {
		return fmt.Errorf("the last row comes due at %d, want %d; %v, %w", at, last, ok, err)
	}
	return nil
}

func difference(got, want map[string]string) string {
	keys := slices.Collect(maps.Keys(got))
	keys = slices.AppendSeq(keys, maps.Keys(want))
	slices.Sort(keys)
	for _, k := range keys {
		if g, w := got[k], want[k]; g != w {
			return fmt.Sprintf("key %q: %.60q, want %.60q", k, g, w)
		}
	}
	return "none"
}

// testModel does random things to a few tasks, crashes among them, and compares with the
// model all the time. After a crash a task must be at one of its commits since the last
// flush.
func testModel(t *testing.T, f Factory) {
	sub := int32(0) // each run has tasks of its own
	db := f.Open(t)
	rapid.Check(t, func(rt *rapid.T) {
		sub++
		ids := []core.TaskID{{Sub: sub, Partition: 0}, {Sub: sub, Partition: 1}}
		stores := make([]statestore.Store, len(ids))
		now := []*model{newModel(), newModel()}
		past := [][]*model{{now[0].clone()}, {now[1].clone()}} // since the last flush, now included
		n := 0
		openAll := func() {
			for i, id := range ids {
				var err error
				if stores[i], err = db.Open(id, tables); err != nil {
					rt.Fatal(err)
				}
			}
		}
		ok := func(err error) {
			rt.Helper()
			if err != nil {
				rt.Fatal(err)
			}
		}
		openAll()
		key := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("%0*d", rapid.SampledFrom([]int{1, 3, 40}).Draw(t, "width"), rapid.IntRange(0, 30).Draw(t, "key"))
		})
		pick := rapid.IntRange(0, len(ids)-1)
		rt.Repeat(map[string]func(*rapid.T){
			"apply": func(rt *rapid.T) {
				i := pick.Draw(rt, "task")
				n++
				c := cp(n)
				var writes []core.Write
				for range rapid.IntRange(0, 40).Draw(rt, "writes") {
					w := core.Write{Table: core.TableID(rapid.IntRange(0, 1).Draw(rt, "table")), Key: []byte(key.Draw(rt, "key")), Time: core.Time(n)}
					if size := rapid.SampledFrom([]int{-1, 0, 5, 60, 5000}).Draw(rt, "size"); size >= 0 {
						w.Value = make([]byte, size)
						for j := range w.Value {
							w.Value[j] = byte('a' + n%26)
						}
						now[i].rows[w.Table][string(w.Key)] = fmt.Sprintf("%s@%d", w.Value, n)
					} else {
						delete(now[i].rows[w.Table], string(w.Key))
					}
					writes = append(writes, w)
				}
				now[i].cp = fmt.Sprint(c)
				ok(stores[i].Apply(writes, c))
				past[i] = append(past[i], now[i].clone())
			},
			"get": func(rt *rapid.T) {
				i, table, k := pick.Draw(rt, "task"), rapid.IntRange(0, 1).Draw(rt, "table"), key.Draw(rt, "key")
				want, has := now[i].rows[table][k]
				if !has {
					want = "-"
				}
				wantGet(rt, stores[i], core.TableID(table), k, want)
			},
			"scan": func(rt *rapid.T) {
				i, table := pick.Draw(rt, "task"), rapid.IntRange(0, 1).Draw(rt, "table")
				lo, hi := key.Draw(rt, "lo"), key.Draw(rt, "hi")
				var want []string
				for _, k := range slices.Sorted(maps.Keys(now[i].rows[table])) {
					if k >= lo && k < hi {
						want = append(want, k+"="+now[i].rows[table][k])
					}
				}
				wantScan(rt, stores[i], core.TableID(table), []byte(lo), []byte(hi), 0, want...)
			},
			"due": func(rt *rapid.T) {
				i, k, most := pick.Draw(rt, "task"), key.Draw(rt, "from"), rapid.IntRange(1, 5).Draw(rt, "most")
				table := core.TableID(rapid.IntRange(0, 1).Draw(rt, "table"))
				at, then := dueOf(table, k, fmt.Sprintf("%s@%d", strings.Repeat("x", rapid.IntRange(0, 60).Draw(rt, "size")), rapid.IntRange(0, n+1).Draw(rt, "at")))
				want := now[i].due(table, dueText(at, then, k))
				want = want[:min(most, len(want))]
				if got := due(rt, stores[i], table, at, then, k, most); !slices.Equal(got, want) {
					rt.Fatalf("from %q: %q, want %q", k, got, want)
				}
			},
			"reset": func(rt *rapid.T) {
				i := pick.Draw(rt, "task")
				ok(stores[i].Reset())
				now[i] = newModel()
				past[i] = append(past[i], newModel())
			},
			"flush": func(rt *rapid.T) {
				i := pick.Draw(rt, "task")
				ok(stores[i].Flush())
				past[i] = past[i][len(past[i])-1:]
			},
			"reopen": func(rt *rapid.T) {
				i := pick.Draw(rt, "task")
				ok(stores[i].Close())
				past[i] = past[i][len(past[i])-1:]
				var err error
				stores[i], err = db.Open(ids[i], tables)
				ok(err)
			},
			"crash": func(rt *rapid.T) {
				if rapid.IntRange(0, 2).Draw(rt, "crash") > 0 {
					rt.Skip()
				}
				f.Crash(t, db)
				db = f.Open(t)
				openAll()
				for i, s := range stores {
					now[i] = oneOf(rt, ids[i], s, past[i])
					past[i] = []*model{now[i].clone()}
				}
			},
			"": func(rt *rapid.T) {
				for i, s := range stores {
					if err := now[i].same(s); err != nil {
						rt.Fatalf("task %v: %v", ids[i], err)
					}
				}
			},
		})
		for _, s := range stores {
			ok(s.Close())
		}
	})
	must(t, db.Close())
}

// oneOf returns the model that the store is at.
func oneOf(t *rapid.T, id core.TaskID, s statestore.Store, past []*model) *model {
	var err error
	for _, m := range slices.Backward(past) {
		if e := m.same(s); e == nil {
			return m.clone()
		} else if cp, _ := s.Checkpoint(); err == nil || m.cp == fmt.Sprint(cp) {
			err = e
		}
	}
	t.Fatalf("task %v is at none of its %d commits since the last flush: %v", id, len(past), err)
	return nil
}
