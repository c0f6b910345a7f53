package main

import (
	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/demo/emails"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

func main() { program().Main() }

func program() cli.Program {
	return cli.Program{
		Name:       "processor",
		Topologies: []*topology.Builder{emailservice.Topology()},
		Demos:      []cli.Demo{emails.Demo()},
	}
}
