package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

var (
	rateChanges = topology.NewTopic("rate-changes", codec.String, codec.String, topology.Compacted())
	bills       = topology.NewTopic("bills", codec.String, codec.String)
	converted   = topology.NewTopic("converted", codec.String, codec.String)
)

// rates looks rows of a global table up, by keys that are not those of the records. There is no order between
// the table and the stream, but commits say where their task saw the table: what that must be at least, and may be at
// most, is checked at each commit (shadow.move), and the model goes by it.
var rates = scenario{
	name: "rates",
	build: func(w *world) *topology.Builder {
		b := topology.New(app)
		t := rateChanges.GlobalTable(b)
		currency := func(bill string) string { return bill[strings.IndexByte(bill, ' ')+1:] }
		in := topology.LeftJoinGlobal(bills.Stream(b), t, "rate", currency, func(bill string, rate topology.Opt[string]) string {
			w.user()
			return bill + " at " + rate.Or("-")
		})
		in.To(converted)
		topology.Count(in, "bills") // so that tasks have rows of their own, too
		return b
	},
	topics: func(w *world) {
		w.makeCompacted("rate-changes")
		w.make("bills", "converted")
	},
	next: func(w *world, n int, aborted bool) input {
		currency := fmt.Sprint("c", w.rng.IntN(5)+n/20) // rows that are deleted stay so, mostly
		at := epoch + core.Time(n)
		if w.chance(2) {
			v := fmt.Appendf(nil, "r%d", n)
			switch {
			case aborted:
				v = []byte("aborted")
			case w.chance(2):
				v = nil
			}
			return input{"rate-changes", []byte(currency), v, at, -1}
		}
		return input{"bills", fmt.Append(nil, "b", w.rng.IntN(4)), fmt.Appendf(nil, "b%d %s", n, currency), at, -1}
	},
	model: ratesModel,
	says:  "each bill is converted once, by the rate that was the last one below where its task saw the table, and bills of a partition in order",
}

// ratesModel looks at the bills of each task in the order in which it took them, and at where it saw the table then, which its
// commits say: the last change of the bill's currency below that is its rate.
func ratesModel(w *world) error {
	want, got := map[string][]string{}, map[string][]string{} // by key
	for _, id := range w.check.ids() {
		for _, c := range w.check.tasks[id].order {
			bill := string(c.rec.Value)
			_, currency, _ := strings.Cut(bill, " ")
			rate := "-"
			for i, p := range w.kafka.topics["rate-changes"].parts {
				for _, e := range p.log[:c.global[0][i]] {
					switch {
					case !e.committed() || string(e.rec.Key) != currency:
					case e.rec.Value == nil:
						rate = "-"
					default:
						rate = string(e.rec.Value)
					}
				}
			}
			want[string(c.rec.Key)] = append(want[string(c.rec.Key)], bill+" at "+rate)
		}
	}
	bills := 0
	for _, r := range w.history("converted") {
		got[string(r.Key)] = append(got[string(r.Key)], string(r.Value))
		bills++
	}
	if n := len(w.history("bills")); bills != n {
		return fmt.Errorf("%d bills, and %d are converted", n, bills)
	}
	for key := range want {
		if !slices.Equal(got[key], want[key]) {
			return fmt.Errorf("key %s: %q; the model says %q", key, got[key], want[key])
		}
	}
	return nil
}
