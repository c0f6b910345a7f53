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
		Name:       "processor",
		Topologies: slices.Concat([]*topology.Builder{emailservice.Topology()}, emails.CompleteTopologies(), accounts.Topologies(), shop.Topologies(), quotes.Topologies(), prices.Topologies(), subscribers.Topologies(), payments.Topologies(), readings.Topologies()),
		Demos:      []cli.Demo{emails.Demo(), emails.Complete(), accounts.Demo(), shop.Demo(), quotes.Demo(), prices.Demo(), subscribers.Demo(), payments.Demo(), readings.Demo()},
	}
}
