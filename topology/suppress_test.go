package topology_test

import (
	"errors"
	"fmt"
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
	held1 = topology.NewTopic("held-in", codec.String, codec.String, topology.Partitions(1))
	held2 = topology.NewTopic("held-out", codec.String, codec.String, topology.Partitions(1))
)

// suppressed is a topology that holds the changes of a table back.
func suppressed(until topology.Until, opts ...topology.SuppressOption) *topology.Builder {
	b := topology.New("suppressed")
	topology.Suppress(held1.Table(b), "held", until, opts...).To(held2)
	return b
}

func TestSuppressUntilTimeLimit(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, held1), topologytest.Topic(d, held2)
		in.SendAt(10, "a", "1")
		in.SendAt(12, "b", "1")
		in.SendAt(15, "a", "2")
		in.SendAt(19, "c", "1")
		out.WantNone()
		in.SendRecord(topology.Record[string, string]{Key: "d", Value: "1", Time: 20})
		if got := out.Records(); len(got) != 1 || got[0].Value != "2" || got[0].Time != 15 {
			t.Errorf("got %v", got)
		}
		d.Crash()
		in.SendAt(22, "b", "2")
		out.Want("2")
		in.SendAt(40, "a", "3")
		out.Want("1", "1")
	}, suppressed(topology.UntilTimeLimit(10*time.Millisecond)))
}

func TestSuppressEmitsEarly(t *testing.T) {
	for _, bound := range []topology.SuppressOption{topology.MaxRecords(2), topology.MaxBytes(15)} {
		topologytest.EveryWay(t, func(d *topologytest.Driver) {
			in, out := topologytest.Topic(d, held1), topologytest.Topic(d, held2)
			in.SendAt(2, "b", "1")
			in.SendAt(1, "z", "1")
			in.SendAt(2, "a", "1")
			out.Want("1") // z: of the least time
			in.SendAt(3, "a", "2")
			out.WantNone()
			in.SendAt(4, "c", "1")
			out.Want("2") // a: of the same time as b, and before it by key
		}, suppressed(topology.UntilTimeLimit(time.Hour), bound, topology.EmitEarly()))
	}
}

func TestSuppressStopsWhenFull(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in := topologytest.Topic(d, held1)
		in.SendAt(1, "a", "1")
		in.SendAt(2, "b", "1")
		if err := d.Stopped("suppressed"); err != nil {
			t.Error(err)
		}
		in.SendAt(3, "c", "1")
		if err := d.Stopped("suppressed"); !errors.Is(err, core.ErrFull) || !strings.Contains(err.Error(), "3 changes") {
			t.Errorf("%v", err)
		}
	}, suppressed(topology.UntilTimeLimit(time.Hour), topology.MaxRecords(2)))
}

// Who looks a row up finds it as it was let go.
func TestSuppressedRowsAreLookedUp(t *testing.T) {
	b := topology.New("looked-up")
	rows := topology.Suppress(held1.Table(b), "held", topology.UntilTimeLimit(10*time.Millisecond))
	topology.LeftJoin(Views.Stream(b), rows, "with-row", func(v string, row topology.Opt[string]) string { return v + row.Or("-") }).To(held2)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, views, out := topologytest.Topic(d, held1), topologytest.Topic(d, Views), topologytest.Topic(d, held2)
		in.SendAt(1, "k", "1")
		views.SendAt(2, "k", "a")
		out.Want("a-")
		in.SendAt(11, "x", "1")
		views.SendAt(12, "k", "b")
		out.Want("b1")
		in.SendAt(13, "k", "2")
		views.SendAt(14, "k", "c")
		out.Want("c1")
	}, b)
}

// A window's result goes on once, when it has closed, through filters and maps too.
func TestSuppressUntilClosed(t *testing.T) {
	b := topology.New("closed")
	counts := topology.Count(Views.Stream(b).Window(topology.Session(10*time.Second).Grace(5*time.Second)), "counts")
	many := topology.MapTable(counts.Filter(func(n int64) bool { return n > 1 }), func(n int64) string { return fmt.Sprint(n) })
	topology.Suppress(many, "final", topology.UntilClosed()).To(Visits)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		views, visits := topologytest.Topic(d, Views), topologytest.Topic(d, Visits)
		for _, s := range []struct{ at, key string }{
			{"10:00:00", "a"}, {"10:00:05", "a"}, {"10:00:02", "b"}, {"10:00:15", "a"}, {"10:00:20", "b"}, {"10:00:29.999", "c"}, {"10:00:29.999", "c"},
		} {
			views.SendAt(clock(s.at), s.key, "")
		}
		visits.WantNone()
		views.SendAt(clock("10:00:30"), "c", "")
		visits.Want("3")
	}, b)
}

func TestSuppressMistakes(t *testing.T) {
	for want, build := range map[string]func(rows topology.Table[string, string]){
		"a table without windows": func(rows topology.Table[string, string]) { topology.Suppress(rows, "s", topology.UntilClosed()) },
		"zero Until":              func(rows topology.Table[string, string]) { topology.Suppress(rows, "s", topology.Until{}) },
		"it is 0 or more": func(rows topology.Table[string, string]) {
			topology.Suppress(rows, "s", topology.UntilTimeLimit(-time.Second))
		},
		"without a bound": func(rows topology.Table[string, string]) {
			topology.Suppress(rows, "s", topology.UntilTimeLimit(time.Second), topology.EmitEarly())
		},
		"MaxRecords(0)": func(rows topology.Table[string, string]) {
			topology.Suppress(rows, "s", topology.UntilTimeLimit(time.Second), topology.MaxRecords(0))
		},
		"has no name": func(rows topology.Table[string, string]) {
			topology.Suppress(rows, "", topology.UntilTimeLimit(time.Second))
		},
	} {
		b := topology.New("t")
		build(held1.Table(b))
		if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for want, w := range map[string]topology.Window{"would not be final": topology.Tumbling(time.Second), "never closes": topology.Unlimited(0)} {
		b := topology.New("t")
		opts := []topology.SuppressOption{topology.MaxRecords(1), topology.EmitEarly()}
		if want == "never closes" {
			opts = nil
		}
		topology.Suppress(topology.Count(Views.Stream(b).Window(w), "n"), "s", topology.UntilClosed(), opts...)
		if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Whatever comes: the last change of each row goes on, not before its time, and as if there
// had been no other change.
func TestSuppressIsAsTheModel(t *testing.T) {
	type held struct {
		since, at int64
		value     string
	}
	rapid.Check(t, func(rt *rapid.T) {
		wait, most := rapid.Int64Range(0, 12).Draw(rt, "wait"), rapid.IntRange(0, 3).Draw(rt, "most")
		var opts []topology.SuppressOption
		if most > 0 {
			opts = []topology.SuppressOption{topology.MaxRecords(most), topology.EmitEarly()}
		}
		type sent struct {
			key, value string
			at         int64
		}
		var steps []sent
		var want []string
		now, at, rows := int64(0), int64(5), map[string]held{}
		for range rapid.IntRange(1, 40).Draw(rt, "records") {
			at = max(0, at+rapid.Int64Range(-3, 5).Draw(rt, "step"))
			s := sent{rapid.SampledFrom([]string{"a", "b", "c", "ab"}).Draw(rt, "key"), rapid.SampledFrom([]string{"1", "2", "3"}).Draw(rt, "value"), at}
			steps = append(steps, s)
			now = max(now, at)
			h, ok := rows[s.key]
			if !ok {
				h.since = at
			}
			h.at, h.value = at, s.value
			rows[s.key] = h
			for {
				first := ""
				for k, h := range rows {
					if f := rows[first]; first == "" || h.since < f.since || h.since == f.since && k < first {
						first = k
					}
				}
				if first == "" || rows[first].since > now-wait && (most == 0 || len(rows) <= most) {
					break
				}
				want = append(want, fmt.Sprintf("%s %s @%d", first, rows[first].value, rows[first].at))
				delete(rows, first)
			}
		}
		for _, way := range windowWays {
			d := way.New(t, suppressed(topology.UntilTimeLimit(time.Duration(wait)*time.Millisecond), opts...))
			for _, s := range steps {
				topologytest.Topic(d, held1).SendAt(topology.Time(s.at), s.key, s.value)
			}
			var got []string
			for _, r := range topologytest.Topic(d, held2).Records() {
				got = append(got, fmt.Sprintf("%s %s @%d", r.Key, r.Value, r.Time))
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("%+v, wait %d, most %d: got %v, want %v", way, wait, most, got, want)
			}
		}
	})
}

// What goes on tells the row that went on before as the old one, as if nothing had come in between.
func TestSuppressTellsWhatWentOn(t *testing.T) {
	b := topology.New("suppressed")
	held := topology.Suppress(held1.Table(b), "held", topology.UntilTimeLimit(10*time.Millisecond))
	topology.Map(topology.Changes(held), func(c topology.Change[string]) string { return c.Old.Or("-") + ">" + c.New.Or("-") }).To(held2)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, held1), topologytest.Topic(d, held2)
		in.SendAt(0, "a", "1")
		in.SendAt(1, "a", "2")
		in.SendAt(20, "a", "3")
		in.SendAt(21, "a", "4")
		in.SendAt(22, "a", "5")
		in.SendAt(40, "b", "1")
		out.Want("->3", "3>5")
	}, b)
}
