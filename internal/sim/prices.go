package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

var (
	priceChanges = topology.NewTopic("price-changes", codec.String, codec.String)
	sales        = topology.NewTopic("sales", codec.String, codec.String)
	receipts     = topology.NewTopic("receipts", codec.String, codec.String)
)

// prices joins sales with the prices that were valid at their times, late ones among them. A sale
// says since when the price was valid that it must at least have, if one broker leads all partitions: that which
// could be read when it was written, and did not lie behind a price that is younger than the sale.
var prices = scenario{
	name: "prices",
	build: func(w *world) *topology.Builder {
		b := topology.New(app)
		t := topology.VersionedTable(b, priceChanges, 30*time.Millisecond)
		f := func(s string, price topology.Opt[string]) string {
			w.user()
			return s + " for " + price.Or("-")
		}
		var options []topology.JoinOption
		if w.rng.IntN(2) == 0 {
			options = append(options, topology.Grace(5*time.Millisecond))
			w.waits = 5
		}
		topology.LeftJoin(sales.Stream(b), t, "receipt", f, options...).To(receipts)
		return b
	},
	topics: func(w *world) { w.make("price-changes", "sales", "receipts") },
	next: func(w *world, n int, aborted bool) input {
		key := fmt.Sprint("k", w.rng.IntN(3))
		if w.chance(4) { // one that is heard of for a while, and not later
			key = fmt.Sprint("r", n/20)
		}
		at := core.Time(n)
		if w.chance(4) { // late
			at = max(0, at-core.Time(w.rng.IntN(20)))
		}
		if !w.chance(3) {
			v := fmt.Appendf(nil, "p%d", at)
			switch {
			case aborted:
				v = []byte("aborted")
			case w.chance(6):
				v = nil
			}
			return input{"price-changes", []byte(key), v, epoch + at, -1}
		}
		since := core.Time(-1)
		for r := range w.visible("price-changes", key) {
			if r.Time > epoch+at {
				break
			}
			if string(r.Key) == key {
				since = max(since, r.Time-epoch)
			}
		}
		return input{"sales", []byte(key), fmt.Appendf(nil, "s%d @%d >=%d", n, at, since), epoch + at, -1}
	},
	model: func(w *world) error {
		sold, ever := map[string]bool{}, map[string]bool{}
		for _, p := range w.kafka.topics["sales"].parts {
			newest := core.NoTime
			for i := range p.log {
				if e := &p.log[i]; e.committed() {
					newest = max(newest, e.rec.Time)
				}
			}
			for i := range p.log { // those that wait still have no receipt
				if e := &p.log[i]; e.committed() && e.rec.Time <= newest-w.waits {
					sold[string(e.rec.Value)] = true
				}
			}
		}
		for _, r := range w.history("price-changes") {
			ever[string(r.Key)+" "+string(r.Value)] = true
		}
		for _, r := range w.history("receipts") {
			sale, price, _ := strings.Cut(string(r.Value), " for ")
			if !sold[sale] {
				return fmt.Errorf("%s: no such sale, or one more receipt", r.Value)
			}
			delete(sold, sale)
			var n, at, least, since core.Time
			if _, err := fmt.Sscanf(sale, "s%d @%d >=%d", &n, &at, &least); err != nil {
				return fmt.Errorf("%s: %w", r.Value, err)
			}
			if price == "-" {
				continue // it may be later than the history, too
			}
			if _, err := fmt.Sscanf(price, "p%d", &since); err != nil || !ever[string(r.Key)+" "+price] {
				return fmt.Errorf("%s: there never was such a price (%w)", r.Value, err)
			}
			if since > at || since < least && w.set.nodes == 1 {
				return fmt.Errorf("%s: that price was not valid then", r.Value)
			}
		}
		if len(sold) > 0 {
			return fmt.Errorf("no receipt for %v", sold)
		}
		return nil
	},
	says: "each sale has one receipt, with a price that there was and that was valid then",
}
