package chaos

import (
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
)

// tablesOf lists the tables of a task as the application's topology has them.
func tablesOf(t *testing.T, app string, id core.TaskID) []statestore.TableSpec {
	t.Helper()
	b := map[string]func() *topology.Builder{"email-service": emailservice.Topology, "order-count": CountTopology, "shop": ShopTopology}[app]()
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var specs []statestore.TableSpec
	for _, tb := range plan.Subtopologies()[id.Sub].Tables {
		specs = append(specs, statestore.TableSpec{Name: tb.Name, Schema: tb.Schema, DueOf: tb.DueOf})
	}
	return specs
}
