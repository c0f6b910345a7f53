package main

import (
	"slices"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/demo/accounts"
	"github.com/seed-81380e12/limpet/internal/demo/emails"
	"github.com/seed-81380e12/limpet/internal/demo/prices"
	"github.com/seed-81380e12/limpet/internal/demo/quotes"
	"github.com/seed-81380e12/limpet/internal/demo/shop"
	"github.com/seed-81380e12/limpet/internal/demo/subscribers"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

func main() { program().Main() }

func program() cli.Program {
	return cli.Program{
		Name:       "processor",
		Topologies: slices.Concat([]*topology.Builder{emailservice.Topology()}, accounts.Topologies(), shop.Topologies(), quotes.Topologies(), prices.Topologies(), subscribers.Topologies()),
		Demos:      []cli.Demo{emails.Demo(), accounts.Demo(), shop.Demo(), quotes.Demo(), prices.Demo(), subscribers.Demo()},
		Sim:        simulate,
	}
}
