package randomtopo

import (
	"time"

	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
)

// window is a kind of windows, and what package plain has for it.
type window struct {
	name  string
	w     topology.Window
	plain plain.Windowing
}

// grace is the window with a grace of so many milliseconds.
func (w window) grace(ms plain.Time) window {
	w.w, w.plain.Grace = w.w.Grace(time.Duration(ms)*time.Millisecond), ms
	return w
}

var (
	tumbling = window{"Tumbling", topology.Tumbling(20 * time.Millisecond), plain.Windowing{Kind: plain.Hopping, Size: 20, Advance: 20}}
	hopping  = window{"Hopping", topology.Hopping(40*time.Millisecond, 20*time.Millisecond), plain.Windowing{Kind: plain.Hopping, Size: 40, Advance: 20}}
	sliding  = window{"Sliding", topology.Sliding(5 * time.Millisecond), plain.Windowing{Kind: plain.Sliding, Size: 5}}
)

// session is a session whose gap is so many milliseconds.
func session(gap plain.Time) window {
	return window{"Session", topology.Session(time.Duration(gap) * time.Millisecond), plain.Windowing{Kind: plain.Session, Size: gap}}
}

// windows are a stream in windows.
type windows struct {
	topology.WindowedStream[string, string]
	plain    plain.Windows
	sessions bool
}

func (d *drawing) windows(w window) windows {
	in := d.pick()
	return windows{in.Window(w.w), d.plain.Window(in.plain, w.plain), w.plain.Kind == plain.Session}
}

// values adds what is in a table of windows, under the keys that the windows are of.
func (d *drawing) values(t topology.Table[topology.Windowed[string], string], p plain.Table, n string, sessions bool) {
	d.has("Records", "Values")
	d.add(topology.Values(topology.KeyBy(topology.Records(t.ToStream()), n+"-key", windowKey)), d.plain.WindowValues(p, n+"-key", sessions))
}

func windowKey(r topology.Record[topology.Windowed[string], string]) string { return r.Key.Key }

// reduced is what a window's Reduce is to package plain.
var reduced = plain.WindowFold{Fold: plain.Fold{First: same, Add: both}, Merge: both}

// graceForAll takes all records into windows: which are late depends on the partition.
func graceForAll(d *drawing, n string) {
	ws := []window{hopping, session(2), sliding}
	w := d.windows(ws[d.choose(len(ws), "windows")].grace(3_600_000))
	d.values(topology.Reduce(w.WindowedStream, n, both), d.plain.AggregateWindows(w.plain, n, reduced), n, w.sessions)
}

// windowed are aggregates of windows with so short a grace that records are late.
var windowed = []operator{
	{"finalWindow", []string{"Window", "UntilClosed"}, func(d *drawing, n string) {
		in, w := d.pick(), d.short()
		t := topology.Reduce(in.Window(w.w), n, both)
		reducedTo := d.plain.AggregateWindows(d.plain.Window(in.plain, w.plain), n, reduced)
		final := d.plain.Suppress(reducedTo, plain.UntilClosed(w.plain))
		d.values(topology.Suppress(t, n+"-final", topology.UntilClosed()), final, n, w.plain.Kind == plain.Session)
	}},
	{"closedWindow", []string{"Window", "EmitOnClose"}, func(d *drawing, n string) {
		w, p := d.windows(d.short()), reduced
		p.OnClose = true
		d.values(topology.Reduce(w.WindowedStream, n, both, topology.EmitOnClose()), d.plain.AggregateWindows(w.plain, n, p), n, w.sessions)
	}},
	{"lateWindow", []string{"Window", "Late", "Retain"}, func(d *drawing, n string) {
		w, p := d.windows(d.short()), reduced
		p.Retain = 100
		d.values(topology.Reduce(w.WindowedStream, n, both, topology.Retain(100*time.Millisecond)), d.plain.AggregateWindows(w.plain, n, p), n, w.sessions)
		d.add(w.Late(), w.plain.Late())
	}},
	{"sessions", []string{"Session", "Merging"}, func(d *drawing, n string) {
		w, p := d.windows(session(3).grace(10)), plain.WindowFold{Fold: plain.Fold{Add: both}, Merge: func(a, b string) string { return cut(a + "|" + b) }}
		d.values(topology.Aggregate(w.WindowedStream, n, both, topology.Merging(p.Merge)), d.plain.AggregateWindows(w.plain, n, p), n, w.sessions)
	}},
	{"alsoWindow", []string{"Aggregate", "Also", "Tumbling"}, func(d *drawing, n string) {
		w := d.windows(tumbling.grace(10))
		also := d.windows(tumbling.grace(10))
		p := plain.WindowFold{Fold: plain.Fold{Add: both}, Also: &also.plain, AlsoAdd: func(a, v string) string { return cut(a + "&" + v) }}
		d.values(topology.Aggregate(w.WindowedStream, n, both, topology.Also(also.WindowedStream, p.AlsoAdd)), d.plain.AggregateWindows(w.plain, n, p), n, w.sessions)
	}},
	{"unlimited", []string{"Unlimited"}, func(d *drawing, n string) {
		w := d.windows(window{"Unlimited", topology.Unlimited(0), plain.Windowing{Kind: plain.Unlimited}})
		d.values(topology.Reduce(w.WindowedStream, n, both), d.plain.AggregateWindows(w.plain, n, reduced), n, w.sessions)
	}},
}

// short is a window of any kind with a short grace.
func (d *drawing) short() window {
	kinds := []window{tumbling, hopping, session(2), sliding}
	k := kinds[d.choose(len(kinds), "windows")]
	d.has(k.name)
	return k.grace(10)
}
