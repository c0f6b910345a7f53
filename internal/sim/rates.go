package sim

import (
	"fmt"
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
// the table and the stream, so its model only knows which rows there ever were; what a process must at
// least have is checked at each commit (shadow.move).
var rates = scenario{
	name: "rates",
	build: func(*world) *topology.Builder {
		b := topology.New(app)
		t := rateChanges.GlobalTable(b)
		currency := func(bill string) string { return bill[strings.IndexByte(bill, ' ')+1:] }
		in := topology.LeftJoinGlobal(bills.Stream(b), t, "rate", currency, func(bill string, rate topology.Opt[string]) string { return bill + " at " + rate.Or("-") })
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
	model: func(w *world) error {
		billed, ever := map[string]bool{}, map[string]bool{}
		for _, r := range w.history("bills") {
			billed[string(r.Value)] = true
		}
		for _, r := range w.history("rate-changes") {
			ever[string(r.Key)+" "+string(r.Value)] = true
		}
		for _, r := range w.history("converted") {
			bill, rate, _ := strings.Cut(string(r.Value), " at ")
			_, currency, _ := strings.Cut(bill, " ")
			if !billed[bill] {
				return fmt.Errorf("%s: no such bill, or it comes twice", r.Value)
			}
			delete(billed, bill)
			if rate != "-" && !ever[currency+" "+rate] {
				return fmt.Errorf("%s: there never was such a rate", r.Value)
			}
		}
		if len(billed) > 0 {
			return fmt.Errorf("not converted: %v", billed)
		}
		return nil
	},
	says: "each bill is converted once, by a rate that there ever was",
}
