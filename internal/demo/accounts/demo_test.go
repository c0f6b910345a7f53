package accounts

import (
	"math/rand/v2"
	"testing"

	es "github.com/seed-81380e12/limpet/examples/eventsourcing"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The audit finds nothing in what the topologies make, and each fault that is put in.
func TestAudit(t *testing.T) {
	d := topologytest.New(t, Topologies()...)
	rng := rand.New(rand.NewPCG(2, 2))
	in := topologytest.Topic(d, es.Commands)
	commands := map[string][]es.Command{}
	for range 300 {
		account, c := []string{"a", "b", "c"}[rng.IntN(3)], command(rng)
		in.Send(account, c)
		commands[account] = append(commands[account], c)
	}
	events, rejections, balances := topologytest.Topic(d, es.Events).ByKey(), topologytest.Topic(d, es.Rejections).ByKey(), topologytest.Topic(d, es.Balances).ByKey()
	check := func() *demo.Report { return judge(commands, events, rejections, balances) }
	if r := check(); !r.Clean() {
		t.Fatal(r, r.Examples)
	}
	was := events["a"]
	for what, spoilt := range map[string][]es.Event{
		"lost":      was[1:],
		"doubled":   append(was[:1:1], was...),
		"other":     append([]es.Event{es.Deposited{Cents: 1}}, was...),
		"reordered": append(append([]es.Event{}, was[1:]...), was[0]),
	} {
		events["a"] = spoilt
		if r := check(); r.Clean() {
			t.Errorf("%s: nothing was found: %v", what, r)
		}
	}
	events["a"] = was
	balances["b"] = balances["b"][:len(balances["b"])-1]
	if r := check(); r.Clean() {
		t.Error("a missing balance was not found")
	}
}
