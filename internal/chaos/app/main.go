package main

import (
	"os"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/chaos"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell/cli"
)

func main() {
	invariant.Plant(os.Getenv("LIMPET_PLANT")) // in builds with the tag limpetbugs
	cli.Main(chaos.CountTopology(), chaos.ShopTopology(), emailservice.Topology())
}
