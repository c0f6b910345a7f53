package core

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A scan finds the rows as they are now: committed ones, sealed ones and those of the record
// in hand, whatever is committed and aborted in between.
func TestScanModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		budget := rapid.SampledFrom([]int{0, 300, 1 << 20}).Draw(rt, "cache")
		var tb *Table[string, string]
		w := newWorld(TaskConfig{CacheBytes: budget}, func(task *Task) {
			tb = NewTable(task, "rows", str{}, str{})
			tb.Ordered()
			TableSource(task, "rows", tb, nil)
		})
		now, committed := map[string]string{}, map[string]string{}
		var sealed *Commit
		atSeal := map[string]string{}
		next := Offset(0)
		key := rapid.StringMatching(`[a-c]{1,3}`)
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				r := RawRecord{Key: []byte(k), Time: 1, Offset: next}
				if delete(now, k); rapid.IntRange(0, 2).Draw(rt, "put") > 0 {
					now[k] = fmt.Sprint(next)
					r.Value = []byte(now[k])
				}
				next++
				if err := w.task.Step(&Batch{Records: []RawRecord{r}, Next: next, CaughtUp: true}); err != nil {
					rt.Fatal(err)
				}
			},
			"seal": func(rt *rapid.T) {
				if sealed != nil {
					rt.Skip()
				}
				var err error
				if sealed, err = w.task.Ready(); err != nil {
					rt.Fatal(err)
				}
				atSeal = maps.Clone(now)
			},
			"commit": func(rt *rapid.T) {
				if sealed == nil {
					rt.Skip()
				}
				w.settle(sealed)
				sealed, committed = nil, atSeal
			},
			"abort": func(*rapid.T) {
				w.task.Abort()
				sealed, now = nil, maps.Clone(committed)
				next = w.next[0]
			},
			"": func(rt *rapid.T) {
				lo, hi := key.Draw(rt, "lo"), key.Draw(rt, "hi")
				bound := []byte(hi)
				if rapid.IntRange(0, 4).Draw(rt, "open") == 0 {
					bound = nil
				}
				most := rapid.SampledFrom([]int{1, 3, 100}).Draw(rt, "most")
				var want, got []string
				for _, k := range slices.Sorted(maps.Keys(now)) {
					if k >= lo && (bound == nil || k < hi) && len(want) < most {
						want = append(want, k+"="+now[k])
					}
				}
				if bound == nil || lo < hi {
					tb.Scan(&w.task.tx, []byte(lo), bound, func(k, v string, _ Time) bool {
						got = append(got, k+"="+v)
						return len(got) < most
					})
				} else {
					want = nil
				}
				if !slices.Equal(got, want) {
					rt.Fatalf("from %q to %q: %v, want %v", lo, bound, got, want)
				}
			},
		})
	})
}

// A table that is scanned, and a range of it, cost no allocation a record: what a loop over
// the range needs is the step's.
func TestRangeAllocs(t *testing.T) {
	type ports struct{ Near Range[int64, int64] }
	task := NewTask(TaskConfig{CacheBytes: 1 << 20, View: func(TableID) View { return noRows{} }})
	tb := NewTable(task, "rows", num{}, num{})
	states := NewTable(task, "states", num{}, num{})
	tb.Ordered()
	ps := &Ports[int64, ports]{User: new(ports)}
	AddRange(ps, &ps.User.Near, Codec[int64](num{}), tb.Scan)
	found := int64(0)
	add := func(_, n int64) bool { found++; return true }
	Source(task, "in", num{}, num{}, Fan(
		ToTable(task.Node("rows", ""), tb, nil, nil),
		ProcessPorts(task.Node("step", ""), states, ps, func(_, v int64, p *ports) int64 {
			p.Near.Between(v, v+2)(add)
			return found
		}, nil, nil),
	))
	b := &Batch{CaughtUp: true, Next: 64}
	for i := range 64 {
		n, _ := num{}.Append(nil, int64(i%8))
		b.Records = append(b.Records, RawRecord{Key: n, Value: n, Time: Time(i), Offset: Offset(i)})
	}
	step := func() {
		task.sources[0].reset(0)
		if err := task.Step(b); err != nil {
			t.Fatal(err)
		}
		if _, err := task.Ready(); err != nil {
			t.Fatal(err)
		}
		task.Advance()
	}
	step()
	step()
	if n := testing.AllocsPerRun(20, step); n > 0 {
		t.Errorf("%v allocations for 64 records", n)
	}
	if found < 64 {
		t.Errorf("%d rows found", found)
	}
}

type noRows struct{}

func (noRows) Get(_, buf []byte) ([]byte, Time, bool, error)            { return buf, 0, false, nil }
func (noRows) Scan(_, _ []byte, _ func(_, _ []byte, _ Time) bool) error { return nil }

// num is a codec of numbers that are not negative.
type num struct{}

func (num) Append(b []byte, n int64) ([]byte, error) {
	return append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), nil
}

func (num) Decode(b []byte) (int64, error) {
	return int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3]), nil
}
