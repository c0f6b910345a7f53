package topology_test

import (
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// windowWays are ways to run what has one partition.
var windowWays = []topologytest.Config{
	{}, {Batch: 1000, CommitEvery: 1000}, {Seed: 1}, {Seed: 2}, {CommitEvery: 2, CrashAfter: 3}, {Seed: 4, CrashAfter: 5},
}

// caseTopic is a topic of strings.
func caseTopic(name string) topology.Topic[string, string] {
	return topology.NewTopic(name, codec.String, codec.String)
}

// nullStrings is a topic whose values may be null.
func nullStrings(name string) topology.Topic[string, topology.Opt[string]] {
	return topology.NewTopic(name, codec.String, codec.Optional(codec.String))
}
