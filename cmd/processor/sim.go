package main

import (
	"context"

	"github.com/seed-81380e12/limpet/internal/sim"
	"github.com/seed-81380e12/limpet/shell/cli"
)

func simulate(ctx context.Context, o cli.SimOptions) error {
	if o.Bugs {
		return sim.PrintBugs(ctx, o.Seed, o.Out)
	}
	return sim.Series{
		First: o.Seed, Seeds: o.Seeds, For: o.For, Scenario: o.Scenario, Workers: o.Workers, Trace: o.Trace,
		Repeat: "go run ./cmd/processor sim",
	}.Run(ctx, o.Out)
}
