package topology_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	// One partition: what closes a window is the time of its partition.
	Views     = topology.NewTopic("views", codec.String, codec.String, topology.Partitions(1))
	LateViews = topology.NewTopic("views-late", codec.String, codec.String, topology.Partitions(1))
	PerMinute = topology.NewTopic("views-per-minute", codec.Windowed(codec.String, time.Minute), codec.Int64, topology.Partitions(1))
	Visits    = topology.NewTopic("visits", codec.SessionWindowed(codec.String), codec.String, topology.Partitions(1))

	clock = topologytest.At
)

// minute is a key in the minute of a time of the day.
func minute(key, at string) topology.Windowed[string] {
	return topology.Windowed[string]{Key: key, Start: clock(at), End: clock(at).Add(time.Minute)}
}

func TestTumblingCount(t *testing.T) {
	b := topology.New("views")
	perMinute := Views.Stream(b).Window(topology.Tumbling(time.Minute).Grace(10 * time.Second))
	perMinute.Late().To(LateViews)
	topology.Count(perMinute, "per-minute").To(PerMinute)
	topology.Count(perMinute, "again")
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		views, perMin, late := topologytest.Topic(d, Views), topologytest.Topic(d, PerMinute), topologytest.Topic(d, LateViews)
		views.SendAt(clock("10:00:05"), "home", "a")
		views.SendAt(clock("10:01:05"), "home", "b")
		views.SendAt(clock("10:00:59"), "home", "c") // out of order, in grace
		perMin.Want(1, 1, 2)
		topologytest.Table[topology.Windowed[string], int64](d, "per-minute").Want(map[topology.Windowed[string]]int64{
			minute("home", "10:00"): 2, minute("home", "10:01"): 1,
		})
		late.WantNone()
		views.SendAt(clock("10:01:10"), "shop", "d")
		views.SendAt(clock("10:00:59"), "home", "e") // not in grace any more
		perMin.Want(1)
		late.Want("e") // once, though two aggregates refuse it
		for _, node := range []string{"per-minute", "again"} {
			if n := d.Dropped(node, topology.Late); n != 1 {
				t.Errorf("%s: %d late, want 1", node, n)
			}
		}
		views.SendAt(clock("10:02"), "shop", "f") // the first minute has expired
		topologytest.Table[topology.Windowed[string], int64](d, "per-minute").Want(map[topology.Windowed[string]]int64{
			minute("home", "10:01"): 1, minute("shop", "10:01"): 1, minute("shop", "10:02"): 1,
		})
	}, b)
}

func TestEmitOnClose(t *testing.T) {
	b := topology.New("views")
	perMinute := Views.Stream(b).Window(topology.Tumbling(time.Minute).Grace(10 * time.Second))
	topology.Count(perMinute, "per-minute", topology.EmitOnClose()).To(PerMinute)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		views, perMin := topologytest.Topic(d, Views), topologytest.Topic(d, PerMinute)
		views.SendAt(clock("10:00:05"), "home", "")
		views.SendAt(clock("10:00:07"), "home", "")
		views.SendAt(clock("10:00:06"), "a", "")
		views.SendAt(clock("10:01:09.999"), "home", "")
		perMin.WantNone()
		views.SendAt(clock("10:01:10"), "home", "")
		if got, want := perMin.Records(), []topology.Record[topology.Windowed[string], int64]{
			{Key: minute("a", "10:00"), Value: 1, Time: clock("10:00:06")},
			{Key: minute("home", "10:00"), Value: 2, Time: clock("10:00:07")},
		}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		d.Crash()
		views.SendAt(clock("10:01:11"), "home", "")
		perMin.WantNone() // once, after a crash too
		views.SendAt(clock("10:00:11"), "home", "")
		if n := d.Dropped("per-minute", topology.Late); n != 1 {
			t.Errorf("%d late, want 1", n)
		}
	}, b)
}

func TestSessions(t *testing.T) {
	b := topology.New("visits")
	byUser := Views.Stream(b).Window(topology.Session(30 * time.Minute).Grace(time.Hour))
	add := func(a, v string) string { return a + v }
	topology.Aggregate(byUser, "visits", add, topology.Merging(func(a, b string) string { return a + "," + b })).To(Visits)
	topology.Reduce(byUser, "reduced", func(a, b string) string { return a + "," + b })
	topology.Count(byUser, "counted")
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		views, visits := topologytest.Topic(d, Views), topologytest.Topic(d, Visits)
		views.SendAt(clock("10:00"), "ada", "a")
		views.SendAt(clock("10:10"), "ada", "b")
		visits.Want("a", "", "ab")
		views.SendAt(clock("11:00"), "ada", "c")
		views.SendAt(clock("11:00"), "ada", "d")
		visits.Want("c", "cd")
		views.SendAt(clock("10:40"), "ada", "e") // 30 minutes behind the first: all are one
		visits.Want("", "", "ab,cde")
		key := topology.Windowed[string]{Key: "ada", Start: clock("10:00"), End: clock("11:00")}
		topologytest.Table[topology.Windowed[string], string](d, "visits").Want(map[topology.Windowed[string]]string{key: "ab,cde"})
		topologytest.Table[topology.Windowed[string], string](d, "reduced").Want(map[topology.Windowed[string]]string{key: "a,b,c,d,e"})
		topologytest.Table[topology.Windowed[string], int64](d, "counted").Want(map[topology.Windowed[string]]int64{key: 5})
		views.SendAt(clock("15:00"), "bob", "")
		topologytest.Table[topology.Windowed[string], int64](d, "counted").Want(map[topology.Windowed[string]]int64{
			{Key: "bob", Start: clock("15:00"), End: clock("15:00")}: 1,
		})
	}, b)
}

func TestUnlimited(t *testing.T) {
	b := topology.New("views")
	topology.Count(Views.Stream(b).Window(topology.Unlimited(clock("10:00"))), "all")
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		views := topologytest.Topic(d, Views)
		for _, at := range []string{"09:59", "10:00", "23:00", "10:01"} {
			views.SendAt(clock(at), "k", "")
		}
		for k, n := range topologytest.Table[topology.Windowed[string], int64](d, "all").Rows() {
			if n != 3 || k.Start != clock("10:00") || k.End < k.Start {
				t.Errorf("%v: %d", k, n)
			}
		}
		if n := d.Dropped("all", topology.NoWindow); n != 1 {
			t.Errorf("%d dropped", n)
		}
	}, b)
}

// Both inputs have one clock: a window closes for both at once.
func TestAlsoWithWindows(t *testing.T) {
	b := topology.New("views")
	w := topology.Tumbling(time.Minute)
	first, second := Views.Stream(b).Window(w), topology.NewTopic("more", codec.String, codec.Int64, topology.Partitions(1)).Stream(b).Window(w)
	second.Late().To(topology.NewTopic("late", codec.String, codec.Int64, topology.Partitions(1)))
	topology.Aggregate(first, "both", func(n int64, _ string) int64 { return n + 1 },
		topology.Also(second, func(n, v int64) int64 { return n + v }), topology.EmitOnClose()).To(PerMinute)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		views, more := topologytest.Topic(d, Views), topologytest.Topic(d, topology.NewTopic("more", codec.String, codec.Int64))
		perMin, late := topologytest.Topic(d, PerMinute), topologytest.Topic(d, topology.NewTopic("late", codec.String, codec.Int64))
		views.SendAt(clock("10:00"), "k", "")
		more.SendAt(clock("10:00:30"), "k", 10)
		views.SendAt(clock("10:01"), "k", "")
		perMin.Want(11)
		more.SendAt(clock("10:00:40"), "k", 10)
		late.Want(10)
		if n := d.Dropped("both", topology.Late); n != 1 {
			t.Errorf("%d late", n)
		}
	}, b)
}

func TestWindowMistakes(t *testing.T) {
	concat := func(a, b string) string { return a + b }
	for want, build := range map[string]func(s topology.Stream[string, string]){
		"is the zero Window": func(s topology.Stream[string, string]) { topology.Count(s.Window(topology.Window{}), "n") },
		"there would be gaps": func(s topology.Stream[string, string]) {
			topology.Count(s.Window(topology.Hopping(time.Second, time.Minute)), "n")
		},
		"grace of -1s": func(s topology.Stream[string, string]) {
			topology.Count(s.Window(topology.Tumbling(time.Second).Grace(-time.Second)), "n")
		},
		"size of 0s": func(s topology.Stream[string, string]) { topology.Count(s.Window(topology.Tumbling(0)), "n") },
		"whole milliseconds": func(s topology.Stream[string, string]) {
			topology.Count(s.Window(topology.Session(time.Second+1)), "n")
		},
		"never closes": func(s topology.Stream[string, string]) {
			topology.Count(s.Window(topology.Unlimited(0)), "n", topology.EmitOnClose())
		},
		"nothing ever closes":  func(s topology.Stream[string, string]) { topology.Count(s, "n", topology.EmitOnClose()) },
		"the rows stay anyway": func(s topology.Stream[string, string]) { topology.Count(s, "n", topology.Retain(1)) },
		"say with Merging": func(s topology.Stream[string, string]) {
			topology.Aggregate(s.Window(topology.Session(time.Second)), "n", concat)
		},
		"no others grow together": func(s topology.Stream[string, string]) {
			topology.Aggregate(s, "n", concat, topology.Merging(concat))
		},
		"Merging is for string": func(s topology.Stream[string, string]) {
			topology.Count(s.Window(topology.Session(time.Second)), "n", topology.Merging(concat))
		},
		"Also is for string": func(s topology.Stream[string, string]) { topology.Count(s, "n", topology.Also(s, concat)) },
		"has other windows": func(s topology.Stream[string, string]) {
			topology.Reduce(s.Window(topology.Tumbling(time.Second)), "n", concat, topology.Also(s.Window(topology.Tumbling(time.Minute)), concat))
		},
		"leads nowhere: Count": func(s topology.Stream[string, string]) { s.Window(topology.Tumbling(time.Second)) },
	} {
		b := topology.New("t")
		build(Views.Stream(b))
		if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
