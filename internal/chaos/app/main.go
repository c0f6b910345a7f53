package main

import (
	"github.com/seed-81380e12/limpet/internal/chaos"
	"github.com/seed-81380e12/limpet/shell/cli"
)

func main() { cli.Main(chaos.CountTopology()) }
