package topology_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	waitRows = topology.NewTopic("wait-rows", codec.String, codec.String, topology.Partitions(1))
	waitIn   = topology.NewTopic("wait-in", codec.String, codec.String, topology.Partitions(1))
	waitOut  = topology.NewTopic("wait-out", codec.String, codec.String, topology.Partitions(1))
	waitLeft = topology.NewTopic("wait-left", codec.String, codec.String, topology.Partitions(1))
)

// waits joins a stream with a table, inner and left.
func waits(opts ...topology.JoinOption) *topology.Builder {
	b := topology.New("waits")
	rows := waitRows.Table(b)
	topology.Join(waitIn.Stream(b), rows.Filter(func(v string) bool { return v != "hidden" }), "inner", plus, opts...).To(waitOut)
	topology.LeftJoin(waitIn.Stream(b), topology.MapTable(rows, upper), "left", orNobody, opts...).To(waitLeft)
	return b
}

type waitTest struct {
	t             *testing.T
	d             *driver
	in, rows      *topologytest.TopicHandle[string, string]
	inner, outers *topologytest.TopicHandle[string, string]
}

func newWaitTest(t *testing.T, d *driver) *waitTest {
	return &waitTest{t, d, open(d, waitIn), open(d, waitRows), open(d, waitOut), open(d, waitLeft)}
}

// order sends a record and says what comes of it: of the inner join, and of the left one.
func (w *waitTest) order(at topology.Time, key, value string, inner, left []string) {
	w.t.Helper()
	w.in.SendRecord(topology.Record[string, string]{Key: key, Value: value, Time: at, Headers: topology.Headers{}.With("h", value)})
	w.want(inner, left)
}

func (w *waitTest) row(at topology.Time, key, value string, inner, left []string) {
	w.t.Helper()
	w.rows.SendAt(at, key, value)
	w.want(inner, left)
}

func (w *waitTest) want(inner, left []string) {
	w.t.Helper()
	for i, h := range []*topologytest.TopicHandle[string, string]{w.inner, w.outers} {
		var got []string
		for _, r := range h.Records() {
			if v, _ := r.Headers.Get("h"); !strings.HasPrefix(r.Value, v) || v == "" {
				w.t.Errorf("%v has other headers", r)
			}
			got = append(got, fmt.Sprintf("%s@%d", r.Value, r.Time))
		}
		if want := [][]string{inner, left}[i]; !slices.Equal(got, want) {
			w.t.Errorf("%s: got %q, want %q", []string{"inner", "left"}[i], got, want)
		}
	}
}

func TestJoinWaits(t *testing.T) {
	type s = []string
	topologytest.EveryWay(t, func(d *driver) {
		w := newWaitTest(t, d)
		w.row(1, "a", "row", nil, nil)
		w.order(10, "a", "o1", s{"o1+row@10"}, s{"o1+ROW@10"})
		w.order(11, "b", "o2", nil, nil)
		w.order(12, "b", "o3", nil, nil)
		w.order(5, "b", "late", nil, nil) // it could wait until 15 only, but goes behind o3
		w.order(13, "c", "o4", nil, nil)
		w.order(2, "d", "too late", nil, s{"too late+nobody@2"})
		d.Crash()
		w.row(20, "b", "hidden", nil, s{"o2+HIDDEN@11", "o3+HIDDEN@12", "late+HIDDEN@5"})
		w.row(21, "b", "seen", s{"o2+seen@11", "o3+seen@12", "late+seen@5"}, nil)
		w.order(21, "b", "o5", s{"o5+seen@21"}, s{"o5+SEEN@21"})
		w.row(23, "c", "just in time", s{"o4+just in time@13"}, s{"o4+JUST IN TIME@13"})
		w.order(24, "e", "o6", nil, nil)
		w.order(25, "d", "o7", nil, nil)
		w.order(28, "e", "o8", nil, nil)
		w.order(35, "e", "o9", nil, s{"o6+nobody@24"})
		d.Crash()
		w.row(36, "z", "moves the time", nil, s{"o7+nobody@25"})
		w.row(37, "d", "too late", nil, nil)
		w.row(38, "e", "row", s{"o8+row@28", "o9+row@35"}, s{"o8+ROW@28", "o9+ROW@35"})
		w.in.SendRaw(nil, []byte("keyless"))
		open(d, waitLeft).Want("keyless+nobody")
		for why, want := range map[topology.Reason]int{topology.Unmatched: 3, topology.NullKey: 1} {
			if got := d.Dropped("inner", why); got != want {
				t.Errorf("%v: %d dropped, want %d", why, got, want)
			}
		}
		for _, name := range []string{"inner", "left"} {
			if n := topologytest.Count(d, name); n != 0 {
				t.Errorf("%s: %d records still wait", name, n)
			}
		}
	}, waits(topology.Wait(10*time.Millisecond)))
}

// A row that is taken away lets the next records wait again.
func TestJoinWaitsAgain(t *testing.T) {
	topologytest.EveryWay(t, func(d *driver) {
		in, rows, out := open(d, waitIn), open(d, waitRows), open(d, waitOut)
		rows.Send("a", "one")
		in.Send("a", "o1")
		rows.Delete("a")
		in.Send("a", "o2")
		out.Want("o1+one")
		rows.Delete("a")
		rows.Send("b", "other")
		out.WantNone()
		rows.Send("a", "two")
		out.Want("o2+two")
	}, waits(topology.Wait(time.Hour)))
}

func TestJoinWithGrace(t *testing.T) {
	type s = []string
	topologytest.EveryWay(t, func(d *driver) {
		w := newWaitTest(t, d)
		w.order(10, "a", "o1", nil, nil)
		w.row(11, "a", "row", nil, nil)
		w.order(12, "b", "o2", nil, nil)
		w.order(11, "b", "o3", nil, nil)
		w.order(12, "a", "o4", nil, nil)
		w.order(12, "a", "o5", nil, nil)
		w.order(1, "a", "late", s{"late+row@1"}, s{"late+ROW@1"})
		d.Crash()
		w.row(30, "b", "hidden", nil, nil) // only the records that it keeps move its time
		w.order(21, "c", "o6", s{"o1+row@10"}, s{"o1+ROW@10", "o3+HIDDEN@11"})
		w.order(22, "c", "o7", s{"o4+row@12", "o5+row@12"}, s{"o4+ROW@12", "o5+ROW@12", "o2+HIDDEN@12"})
		w.in.SendRaw(nil, []byte("keyless"))
		open(d, waitLeft).Want("keyless+nobody")
		w.order(100, "c", "o8", nil, s{"o6+nobody@21", "o7+nobody@22"})
		if got := d.Dropped("inner", topology.Unmatched); got != 4 {
			t.Errorf("%d unmatched", got)
		}
		if n := topologytest.Count(d, "inner-Buffer"); n != 1 {
			t.Errorf("%d records wait, want 1", n)
		}
	}, waits(topology.Grace(10*time.Millisecond)))
}

func TestJoinWaitsForNotTooMany(t *testing.T) {
	topologytest.EveryWay(t, func(d *driver) {
		in := open(d, waitIn)
		in.SendAt(1, "a", "o1")
		in.SendAt(2, "b", "o2")
		if err := d.Stopped("waits"); err != nil {
			t.Error(err)
		}
		in.SendAt(3, "c", "o3")
		if err := d.Stopped("waits"); !errors.Is(err, core.ErrFull) || !strings.Contains(err.Error(), "3 records wait, at most 2") {
			t.Errorf("%v", err)
		}
	}, waits(topology.Wait(time.Hour), topology.MaxRecords(2)))
	for want, o := range map[string]topology.JoinOption{"o1+nobody": topology.Wait(time.Hour), "o0+nobody": topology.Grace(time.Hour)} {
		topologytest.EveryWay(t, func(d *driver) {
			in, left := open(d, waitIn), open(d, waitLeft)
			in.SendAt(1, "a", "o1")
			in.SendAt(2, "b", "o2")
			in.SendAt(0, "c", "o0")
			left.Want(map[bool]string{true: want, false: "o0+nobody"}[want == "o0+nobody"])
		}, waits(o, topology.MaxRecords(2), topology.EmitEarly()))
	}
}

func TestJoinWaitMistakes(t *testing.T) {
	for want, opts := range map[string][]topology.JoinOption{
		"exclude each other":     {topology.Wait(time.Second), topology.Grace(time.Second)},
		"Wait(-1s)":              {topology.Wait(-time.Second)},
		"Grace(1ns)":             {topology.Grace(1)},
		"no record waits":        {topology.MaxRecords(3)},
		"when it is full":        {topology.Wait(time.Second), topology.EmitEarly()},
		"MaxRecords(0): it is 1": {topology.Wait(time.Second), topology.MaxRecords(0)},
	} {
		if _, err := waits(opts...).Build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Whatever comes: what the joins emit is what a model says that keeps lists and looks at all
// of them each time.
func TestJoinWaitIsAsTheModel(t *testing.T) {
	type order struct {
		key, value string
		at, due    int64
		n          int
	}
	rapid.Check(t, func(rt *rapid.T) {
		d := rapid.Int64Range(0, 12).Draw(rt, "d")
		grace := rapid.Bool().Draw(rt, "grace")
		option := topology.Wait(time.Duration(d) * time.Millisecond)
		if grace {
			option = topology.Grace(time.Duration(d) * time.Millisecond)
		}
		var steps []sent
		var want []string
		now, at, rows, parked := int64(-1), int64(20), map[string]string{}, []order{}
		emit := func(o order) {
			row := rows[o.key]
			if row == "" {
				row = "nobody"
			}
			want = append(want, fmt.Sprintf("%s %s+%s @%d", o.key, o.value, row, o.at))
		}
		leave := func(limit int64) { // those due up to a time, by due, key and arrival
			for {
				best := -1
				for i, o := range parked {
					if b := max(best, 0); o.due <= limit && (best < 0 || o.due < parked[b].due || o.due == parked[b].due && o.key < parked[b].key) {
						best = i
					}
				}
				if best < 0 {
					return
				}
				emit(parked[best])
				parked = slices.Delete(parked, best, best+1)
			}
		}
		for n := range rapid.IntRange(1, 40).Draw(rt, "records") {
			at = max(0, at+rapid.Int64Range(-4, 5).Draw(rt, "step"))
			key := rapid.SampledFrom([]string{"a", "b", "c", "ab"}).Draw(rt, "key")
			table := rapid.IntRange(0, 2).Draw(rt, "table") == 0
			s := sent{"wait-in", key, fmt.Sprintf("o%d", n), at}
			if table {
				s.topic, s.value = "wait-rows", rapid.SampledFrom([]string{"ROW", "OTHER", ""}).Draw(rt, "row")
			}
			steps = append(steps, s)
			o := order{key, s.value, at, at, n}
			switch {
			case grace && table:
				rows[key] = s.value
			case grace && at < now-d && now >= 0:
				emit(o)
			case grace:
				now = max(now, at)
				parked = append(parked, o)
				leave(now - d)
			case table:
				rows[key], now = "", max(now, at) // those whose time is up have seen no row
				leave(now - 1)
				if rows[key] = s.value; s.value != "" {
					parked = slices.DeleteFunc(parked, func(o order) bool {
						if o.key == key {
							emit(o)
						}
						return o.key == key
					})
				}
			default:
				now = max(now, at)
				leave(now - 1)
				o.due = at + d
				waiting := false
				for _, p := range parked {
					if p.key == key {
						waiting, o.due = true, max(o.due, p.due)
					}
				}
				if !waiting && (rows[key] != "" || o.due < now) {
					emit(o)
				} else {
					parked = append(parked, o)
				}
			}
		}
		for _, way := range windowWays {
			d := way.New(t, waits(option))
			for _, s := range steps {
				h := open(d, waitIn)
				if s.topic == "wait-rows" {
					h = open(d, waitRows)
				}
				if s.topic == "wait-rows" && s.value == "" {
					h.SendRawAt(topology.Time(s.at), []byte(s.key), nil)
				} else {
					h.SendAt(topology.Time(s.at), s.key, s.value)
				}
			}
			var got []string
			for _, r := range open(d, waitLeft).Records() {
				got = append(got, fmt.Sprintf("%s %s @%d", r.Key, r.Value, r.Time))
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("%+v, %v:\ngot  %v\nwant %v", way, steps, got, want)
			}
			store := "left"
			if grace {
				store += "-Buffer"
			}
			if n := topologytest.Count(d, store); n != len(parked) {
				rt.Fatalf("%d records wait, want %d", n, len(parked))
			}
		}
	})
}

// The greatest time is valid too.
func TestJoinWaitsAtTheEndOfTime(t *testing.T) {
	for _, o := range []topology.JoinOption{topology.Grace(0), topology.Grace(time.Second), topology.Wait(0), topology.Wait(time.Second)} {
		topologytest.EveryWay(t, func(d *driver) {
			in, rows, out := open(d, waitIn), open(d, waitRows), open(d, waitOut)
			rows.SendAt(1, "a", "row")
			in.SendAt(math.MaxInt64-2000, "a", "o1")
			in.SendAt(math.MaxInt64, "a", "o2")
			in.SendAt(math.MaxInt64, "b", "o3")
			if got := out.Values(); len(got) == 0 || got[0] != "o1+row" || len(got) > 2 {
				t.Errorf("got %v", got)
			}
		}, waits(o))
	}
}
