package randomtopo

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

// graceForAll takes all records into windows: which are late depends on the partition.
func graceForAll(d *drawing, n string) {
	ws := []topology.Window{
		topology.Hopping(40*time.Millisecond, 20*time.Millisecond), topology.Session(2 * time.Millisecond), topology.Sliding(5 * time.Millisecond),
	}
	w := ws[d.choose(len(ws), "windows")].Grace(time.Hour)
	d.todoValues(topology.Reduce(d.in().Window(w), n, both), n)
}

// windowed are aggregates of windows with so short a grace that records are late.
var windowed = []operator{
	{"finalWindow", []string{"Window", "UntilClosed"}, func(d *drawing, n string) {
		t := topology.Reduce(d.in().Window(d.short()), n, both)
		d.todoValues(topology.Suppress(t, n+"-final", topology.UntilClosed()), n)
	}},
	{"closedWindow", []string{"Window", "EmitOnClose"}, func(d *drawing, n string) {
		d.todoValues(topology.Reduce(d.in().Window(d.short()), n, both, topology.EmitOnClose()), n)
	}},
	{"lateWindow", []string{"Window", "Late", "Retain"}, func(d *drawing, n string) {
		w := d.in().Window(d.short())
		d.todoValues(topology.Reduce(w, n, both, topology.Retain(100*time.Millisecond)), n)
		d.todo(w.Late())
	}},
	{"sessions", []string{"Session", "Merging"}, func(d *drawing, n string) {
		w := d.in().Window(topology.Session(3 * time.Millisecond).Grace(10 * time.Millisecond))
		d.todoValues(topology.Aggregate(w, n, both, topology.Merging(func(a, b string) string { return cut(a + "|" + b) })), n)
	}},
	{"alsoWindow", []string{"Aggregate", "Also", "Tumbling"}, func(d *drawing, n string) {
		w := topology.Tumbling(20 * time.Millisecond).Grace(10 * time.Millisecond)
		d.todoValues(topology.Aggregate(d.in().Window(w), n, both, topology.Also(d.in().Window(w), func(a, v string) string { return cut(a + "&" + v) })), n)
	}},
	{"unlimited", []string{"Unlimited"}, func(d *drawing, n string) {
		d.todoValues(topology.Reduce(d.in().Window(topology.Unlimited(0)), n, both), n)
	}},
}

// short is a window of any kind with a short grace.
func (d *drawing) short() topology.Window {
	kinds := []struct {
		name string
		w    topology.Window
	}{
		{"Tumbling", topology.Tumbling(20 * time.Millisecond)},
		{"Hopping", topology.Hopping(40*time.Millisecond, 20*time.Millisecond)},
		{"Session", topology.Session(2 * time.Millisecond)},
		{"Sliding", topology.Sliding(5 * time.Millisecond)},
	}
	k := kinds[d.choose(len(kinds), "windows")]
	d.has(k.name)
	return k.w.Grace(10 * time.Millisecond)
}
