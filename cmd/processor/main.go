package main

import (
	"slices"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/demo/accounts"
	"github.com/seed-81380e12/limpet/internal/demo/emails"
	"github.com/seed-81380e12/limpet/internal/demo/payments"
	"github.com/seed-81380e12/limpet/internal/demo/prices"
	"github.com/seed-81380e12/limpet/internal/demo/quotes"
	"github.com/seed-81380e12/limpet/internal/demo/readings"
	"github.com/seed-81380e12/limpet/internal/demo/sagas"
	"github.com/seed-81380e12/limpet/internal/demo/shop"
	"github.com/seed-81380e12/limpet/internal/demo/subscribers"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

func main() { program().Main() }

func program() cli.Program {
	return cli.Program{
		Name: "processor",
		Topologies: slices.Concat(
			[]*topology.Builder{emailservice.Topology()}, emails.CompleteTopologies(), quotes.Topologies(), accounts.Topologies(), shop.Topologies(),
			sagas.OrchestrationTopologies(), sagas.ChoreographyTopologies(), payments.Topologies(), readings.Topologies(), prices.Topologies(), subscribers.Topologies(),
		),
		Demos: []cli.Demo{
			emails.Demo(), emails.Complete(), quotes.Demo(), accounts.Demo(), shop.Demo(), sagas.Orchestration(), sagas.Choreography(),
			payments.Demo(), readings.Demo(), prices.Demo(), subscribers.Demo(),
		},
		Sim: simulate,
	}
}
