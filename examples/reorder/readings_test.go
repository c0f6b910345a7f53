package reorder

import (
	"slices"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func reading(n int64) Reading { return Reading{"s", n, 20} }

func TestFollow(t *testing.T) {
	for _, c := range []struct {
		name   string
		given  Series
		number int64
		then   Series
		gaps   []Gap
	}{
		{"the first", Series{}, 1, Series{1, 0}, nil},
		{"the next", Series{4, 1}, 5, Series{5, 1}, nil},
		{"one is missing", Series{4, 1}, 6, Series{6, 2}, []Gap{{5, 5}}},
		{"some are missing", Series{}, 4, Series{4, 3}, []Gap{{1, 3}}},
	} {
		var out Ports
		got := Follow(c.given, reading(c.number), &out)
		if got != c.then || !slices.Equal(out.Gaps.Values(), c.gaps) || !slices.Equal(out.Readings.Values(), []Reading{reading(c.number)}) {
			t.Errorf("%s: %v, %v, %v", c.name, got, out.Gaps.Values(), out.Readings.Values())
		}
	}
}

// Readings wait for those before them, across crashes, and no longer than grace.
func TestSorting(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		readings, ordered, gaps := topologytest.Topic(d, Readings), topologytest.Topic(d, Ordered), topologytest.Topic(d, Gaps)
		send := func(at string, n int64) { readings.SendAt(topologytest.At(at), "s", reading(n)) }
		send("10:00:01", 1)
		send("10:00:03", 3)
		send("10:00:05", 5)
		ordered.Want(reading(1))
		d.Crash()
		send("10:00:02", 2)
		ordered.Want(reading(2), reading(3))

		send("10:01:04", 7) // the fifth has waited for 59 seconds
		ordered.WantNone()
		send("10:01:05", 8)
		ordered.Want(reading(5))
		gaps.Want(Gap{4, 4})
		send("10:00:04", 4) // too late
		send("10:01:03", 6)
		ordered.Want(reading(6), reading(7), reading(8))
		gaps.WantNone()
		if late, gone := d.Dropped("by-number", topology.Late), d.Dropped("by-number", topology.Gap); late != 1 || gone != 1 {
			t.Errorf("%d late, %d given up; want 1 and 1", late, gone)
		}
		topologytest.Table[string, Series](d, "series").Want(map[string]Series{"s": {8, 1}})
	}, Sorting(Grace))
}

// With no grace nothing waits for what is overtaken.
func TestNoGrace(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		readings := topologytest.Topic(d, Readings)
		for _, n := range []int64{1, 3, 2, 4} {
			readings.Send("s", reading(n))
		}
		topologytest.Topic(d, Ordered).Want(reading(1), reading(3), reading(4))
		topologytest.Topic(d, Gaps).Want(Gap{2, 2})
	}, Sorting(0*time.Second))
}
