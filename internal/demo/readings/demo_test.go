package readings

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/reorder"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The audit finds nothing in what the topology makes, and each fault that is put in.
func TestAudit(t *testing.T) {
	d := topologytest.New(t, Topologies()...)
	in := topologytest.Topic(d, reorder.Readings)
	rng := rand.New(rand.NewPCG(2, 9))
	var readings []came
	send := func(n int64, at core.Time) {
		x := reorder.Reading{Sensor: "s", Number: n}
		in.SendAt(at, "s", x)
		readings = append(readings, came{x, 0, time.UnixMilli(int64(at))})
	}
	start := d.Now()
	order := make([]int64, 0, 300)
	for n := int64(1); n <= 300; n++ { // 20 ms each; some come up to 40 places later
		i := len(order)
		if n%5 == 0 {
			i -= rng.IntN(min(40, i+1))
		}
		if n%50 != 7 {
			order = slices.Insert(order, i, n)
		}
	}
	for _, n := range order {
		send(n, start+core.Time(20*n))
	}
	send(301, start+core.Time(20*300+1000))
	send(302, start+core.Time(20*300+1000))
	ordered, gaps := topologytest.Topic(d, reorder.Ordered).ByKey(), topologytest.Topic(d, reorder.Gaps).ByKey()
	check := func() *demo.Report { return judge(readings, ordered, gaps) }
	if r := check(); !r.Clean() || len(gaps["s"]) == 0 {
		t.Fatal(r, r.Examples)
	}
	was := ordered["s"]
	for what, spoil := range map[string]func([]reorder.Reading) []reorder.Reading{
		"lost":         func(x []reorder.Reading) []reorder.Reading { return slices.Delete(x, 3, 4) },
		"twice":        func(x []reorder.Reading) []reorder.Reading { return slices.Insert(x, 3, x[2]) },
		"out of order": func(x []reorder.Reading) []reorder.Reading { x[3], x[4] = x[4], x[3]; return x },
		"changed":      func(x []reorder.Reading) []reorder.Reading { x[3].Celsius++; return x },
	} {
		ordered["s"] = spoil(slices.Clone(was))
		if check().Clean() {
			t.Errorf("%s: nothing was found", what)
		}
	}
	ordered["s"] = was
	gaps["s"] = gaps["s"][1:]
	if check().Clean() {
		t.Error("a gap that was not told was not found")
	}
}
