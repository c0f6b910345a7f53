package shop

import (
	"math/rand/v2"
	"testing"

	"github.com/seed-81380e12/limpet/examples/cqrs"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The audit finds nothing in what the topologies make, and each fault that is put in.
func TestAudit(t *testing.T) {
	d := topologytest.New(t, Topologies()...)
	f, in := &feeder{rng: rand.New(rand.NewPCG(3, 3))}, topologytest.Topic(d, cqrs.Commands)
	commands := map[string][]cqrs.Command{}
	for i := range 300 {
		id, c := string(rune('a'+f.rng.IntN(20))), f.place()
		if i%7 == 0 {
			c = cqrs.CancelOrder{}
		}
		if i%11 == 0 {
			c = cqrs.PlaceOrder{}
		}
		in.Send(id, c)
		commands[id] = append(commands[id], c)
	}
	events, refusals := topologytest.Topic(d, cqrs.Events).ByKey(), topologytest.Topic(d, cqrs.Refusals).ByKey()
	summaries, totals := topologytest.Topic(d, cqrs.Summaries).ByKey(), topologytest.Topic(d, cqrs.Totals).ByKey()
	var asked tally
	check := func() *demo.Report { return judge(commands, events, refusals, summaries, totals, &asked) }
	if r := check(); !r.Clean() {
		t.Fatal(r, r.Examples)
	}
	finds := func(what string, spoil, mend func()) {
		t.Helper()
		if spoil(); check().Clean() {
			t.Errorf("%s: nothing was found", what)
		}
		if mend(); !check().Clean() {
			t.Fatal("mended, and not clean")
		}
	}
	was := events["a"]
	finds("a lost event", func() { events["a"] = was[1:] }, func() { events["a"] = was })
	finds("a doubled event", func() { events["a"] = append(was[:1:1], was...) }, func() { events["a"] = was })
	for k, rows := range summaries {
		finds("a row doubled", func() { summaries[k] = append(rows[:1:1], rows...) }, func() { summaries[k] = rows })
		break
	}
	for k, rows := range totals {
		finds("a lost row", func() { delete(totals, k) }, func() { totals[k] = rows })
		break
	}
	finds("a stale answer", func() { asked.staleWith.Add(1) }, func() { asked.staleWith.Add(-1) })
}
