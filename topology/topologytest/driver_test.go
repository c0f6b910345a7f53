package topologytest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

type value struct {
	Name string
	N    int
}

var (
	in     = topology.NewTopic("in", codec.String, codec.JSON[value]())
	out    = topology.NewTopic("out", codec.String, codec.JSON[value]())
	counts = topology.NewTopic("counts", codec.String, codec.Int64)
)

func pass() *topology.Builder {
	b := topology.New("pass")
	s := in.Stream(b)
	topology.Map(s, func(v value) value {
		if v.Name == "panic" {
			panic("as asked")
		}
		return v
	}).To(out)
	topology.Count(s, "count").To(counts)
	return b
}

// recorder stands for the test, and takes down what a Driver says of it.
type recorder struct {
	testing.TB
	errors   []string
	cleanups []func()
}

type fatal struct{}

func (r *recorder) Helper()                   {}
func (r *recorder) Cleanup(f func())          { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool              { return len(r.errors) > 0 }
func (r *recorder) Errorf(f string, a ...any) { r.errors = append(r.errors, fmt.Sprintf(f, a...)) }
func (r *recorder) Fatal(a ...any)            { r.errors = append(r.errors, fmt.Sprint(a...)); panic(fatal{}) }

func (r *recorder) Fatalf(f string, a ...any) {
	r.Errorf(f, a...)
	panic(fatal{})
}

// said runs f with a test of its own and returns what was said of it.
func said(f func(testing.TB)) string {
	r := &recorder{}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(fatal{}) {
				panic(p)
			}
		}()
		f(r)
		for _, c := range r.cleanups {
			c()
		}
	}()
	return panicPlace.ReplaceAllString(strings.Join(r.errors, "\n"), ", at $1:LINE")
}

var panicPlace = regexp.MustCompile(`, at \S*?(\w+\.go):\d+`)

func TestWhatFailuresSay(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(testing.TB)
		want string
	}{
		{"values", func(t testing.TB) {
			d := New(t, pass())
			h := Topic(d, in)
			h.Send("a", value{"one", 1})
			h.Send("a", value{"two", 2})
			h.Send("a", value{"three", 3})
			Topic(d, out).Want(value{"zero", 0}, value{"one", 1}, value{"two", 22}, value{"three", 3})
		}, `topic out: 3 values, want 4:
  - {Name:zero N:0}
    {Name:one N:1}
  - {Name:two N:22}
  + {Name:two N:2}
      N: 2, want 22
    {Name:three N:3}
`},
		{"rows", func(t testing.TB) {
			d := New(t, pass())
			Topic(d, in).Send("a", value{})
			Topic(d, in).Send("b", value{})
			Topic(d, in).Send("d", value{})
			Table[string, int64](d, "count").Want(map[string]int64{"b": 2, "c": 1, "d": 1})
		}, `table count: 3 rows, want 3:
  + a: 1
  * b:
  - 2
  + 1
  - c: 1
    d: 1
`},
		{"none", func(t testing.TB) {
			d := New(t, pass())
			Topic(d, in).Send("a", value{"one", 1})
			Topic(d, out).WantNone()
		}, "topic out: 1 values, want 0:\n  + {Name:one N:1}\n"},
		{"stopped", func(t testing.TB) {
			d := New(t, pass())
			Topic(d, in).Send("a", value{"panic", 1})
			Topic(d, out).Want(value{"panic", 1})
		}, "topic out: 0 values, want 1:\n  - {Name:panic N:1}\ntopology pass has stopped: task 0_0, topic in, partition 0, offset 0, node map (topologytest.pass.func1): core: panic in a user function: as asked, at driver_test.go:LINE\n"},
		{"stopped unnoticed", func(t testing.TB) {
			Topic(New(t, pass()), in).Send("a", value{"panic", 1})
		}, "topology pass has stopped: task 0_0, topic in, partition 0, offset 0, node map (topologytest.pass.func1): core: panic in a user function: as asked, at driver_test.go:LINE"},
		{
			"no build", func(t testing.TB) { New(t, topology.New("nothing")) },
			"topology \"nothing\" does not build:\ntopology: invalid: topology \"nothing\" is empty: begin with Topic.Stream or Topic.Table",
		},
		{"values and times", func(t testing.TB) {
			d := New(t, pass())
			Topic(d, in).SendAt(5, "a", value{"one", 1})
			Topic(d, in).SendAt(6, "a", value{"two", 2})
			Topic(d, out).WantRecords(RecordOf(5, "a", value{"one", 1}), RecordOf(7, "a", value{"two", 2}))
		}, `topic out: 2 records, want 2:
    {Key:a Value:{Name:one N:1} Time:5 Headers:{raw:}}
  - {Key:a Value:{Name:two N:2} Time:7 Headers:{raw:}}
  + {Key:a Value:{Name:two N:2} Time:6 Headers:{raw:}}
      Time: 6, want 7
`},
		{"no such node", func(t testing.TB) {
			New(t, pass()).Dropped("cuont", topology.NullKey)
		}, `no node is named "cuont"; there are: count, counts, in, map, out`},
		{"back in time", func(t testing.TB) {
			New(t, pass()).Advance(-time.Hour)
		}, "the clock is at 2025-01-01 00:00:00.000 and cannot go back to 2024-12-31 23:00:00.000"},
		{"two names", func(t testing.TB) { New(t, pass(), pass()) }, `two topologies are named "pass"`},
		{"no topic", func(t testing.TB) { Topic(New(t, pass()), topology.NewTopic("x", codec.String, codec.String)) }, `no topology reads or writes topic "x"`},
		{"no table", func(t testing.TB) { Table[string, int64](New(t, pass()), "x") }, `no table is named "x"; there are: count`},
		{
			"other types", func(t testing.TB) { Table[string, string](New(t, pass()), "count") },
			`topology: table "count" is string -> int64, and not of string and string`,
		},
		{"no topology", func(t testing.TB) { New(t, pass()).Pause("x") }, `no topology is named "x"; there are: pass`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(c.f); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// What came before the record that stops a topology is committed, every way.
func TestStopped(t *testing.T) {
	EveryWay(t, func(d *Driver) {
		h := Topic(d, in)
		h.Send("a", value{"one", 1})
		h.Send("a", value{"two", 2})
		h.SendRaw([]byte("a"), []byte("no JSON"))
		h.Send("a", value{"four", 4})
		var re *core.RecordError
		if err := d.Stopped("pass"); !errors.As(err, &re) || !errors.Is(err, core.ErrDecode) || re.Offset != 2 {
			t.Errorf("%v", err)
		}
		Topic(d, out).Want(value{"one", 1}, value{"two", 2})
		Table[string, int64](d, "count").Want(map[string]int64{"a": 2})
		d.Crash()
		Topic(d, out).WantNone()
	}, pass())
}

// A function that changes a row in place is found and named.
func TestMutation(t *testing.T) {
	b := topology.New("mutating")
	topology.Aggregate(in.Stream(b), "names", func(m map[string]int, v value) map[string]int {
		if m == nil {
			m = map[string]int{}
		}
		m[v.Name]++
		return m
	})
	EveryWay(t, func(d *Driver) {
		Topic(d, in).Send("a", value{Name: "x"})
		Topic(d, in).Send("a", value{Name: "x"})
		if err := d.Stopped("mutating"); !errors.Is(err, core.ErrMutated) || !strings.Contains(err.Error(), "topologytest.TestMutation.func1") {
			t.Errorf("%v", err)
		}
	}, b)
}

func TestClock(t *testing.T) {
	d := New(t, pass())
	if d.Now() != At("00:00") || At("10:04:30.250")-At("10:04") != 30_250 {
		t.Error("At")
	}
	Topic(d, in).Send("a", value{})
	Topic(d, in).Send("a", value{})
	d.Advance(time.Minute)
	Topic(d, in).Send("a", value{})
	rs := Topic(d, out).Records()
	if len(rs) != 3 || rs[0].Time != At("00:00") || rs[1].Time != rs[0].Time+1 || rs[2].Time != At("00:01")+2 {
		t.Errorf("%v", rs)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	At("noon")
}

func TestCrashAndWipe(t *testing.T) {
	EveryWay(t, func(d *Driver) {
		h, count := Topic(d, in), Table[string, int64](d, "count")
		h.Send("a", value{})
		h.Send("b", value{})
		d.Crash()
		h.Send("a", value{})
		count.Want(map[string]int64{"a": 2, "b": 1})
		Topic(d, counts).Want(1, 1, 2)
		d.Wipe()
		count.Want(map[string]int64{"a": 2, "b": 1})
		Topic(d, counts).Want(1, 1, 2)
		if n, ok := count.Get("a"); n != 2 || !ok {
			t.Errorf("%d, %v", n, ok)
		}
		if _, ok := count.Get("c"); ok {
			t.Error("a row of nobody")
		}
	}, pass())
}

// Each way does what it is called: it batches, commits late, aborts, crashes.
func TestWaysDiffer(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			d := way.config.New(t, pass())
			h := Topic(d, in)
			queued := 0
			for i := range 20 {
				h.Send("a", value{N: i})
				queued = max(queued, len(d.queue))
			}
			if batches := way.name != "one by one" && way.name != "four partitions"; batches != (queued > 1) {
				t.Errorf("%d sends waited", queued)
			}
			if n, _ := Table[string, int64](d, "count").Get("a"); n != 20 {
				t.Errorf("counted %d", n)
			}
			changelog := d.topics["pass-count-changelog"]
			if n := len(changelog.log); way.name == "one by one" && n != 20 || way.name == "long batches" && n != 1 {
				t.Errorf("%d records in the changelog", n)
			}
		})
	}
}

// Where there are several partitions, the order is that of each key.
func TestOrderOfEachKey(t *testing.T) {
	r := func(key string, v int) core.Record[string, int] { return core.Record[string, int]{Key: key, Value: v} }
	rs := []core.Record[string, int]{r("a", 1), r("b", 2), r("a", 3), r("b", 1)}
	for _, c := range []struct {
		values []int
		want   bool
	}{
		{[]int{1, 2, 3, 1}, true},
		{[]int{2, 1, 1, 3}, true},
		{[]int{1, 3, 2, 1}, true},
		{[]int{3, 1, 2, 1}, false},
		{[]int{1, 2, 3}, false},
		{[]int{1, 2, 3, 3}, false},
		{[]int{1, 1, 3, 2}, false},
	} {
		if got := sameForEachKey(rs, c.values); got != c.want {
			t.Errorf("%v: %v", c.values, got)
		}
	}
}
