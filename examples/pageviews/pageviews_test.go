package pageviews

import (
	"testing"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var at = topologytest.At

func TestMergeKeepsTheFirstPage(t *testing.T) {
	if got := Merge(Visit{2, "home"}, Visit{1, "shop"}); got != (Visit{3, "home"}) {
		t.Error(got)
	}
}

func TestTopology(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		views, perMin, late := topologytest.Topic(d, Views), topologytest.Topic(d, PerMinute), topologytest.Topic(d, LateViews)
		view := View{"home", "ada"}

		views.SendAt(at("10:00:05"), "home", view)
		views.SendAt(at("10:01:05"), "home", view)
		views.SendAt(at("10:00:59"), "home", view) // out of order, in grace
		perMin.WantNone()
		views.SendAt(at("10:01:10"), "home", view)
		perMin.Want(2)

		views.SendAt(at("10:00:10"), "home", view)
		late.Want(view)
		if n := d.Dropped("views-per-minute", topology.Late); n != 1 {
			t.Errorf("%d late, want 1", n)
		}

		visits := topologytest.Topic(d, Visits)
		topologytest.Table[topology.Windowed[string], Visit](d, "visits").Want(map[topology.Windowed[string]]Visit{
			{Key: "ada", Start: at("10:00:05"), End: at("10:01:10")}: {5, "home"},
		})
		visits.WantNone()
		views.SendAt(at("10:31:11"), "home", view) // more than half an hour later
		visits.Want(Visit{5, "home"})
	}, Topology())
}
