package main

import (
	"github.com/seed-81380e12/limpet/examples/nexmark"
	"github.com/seed-81380e12/limpet/topology"
)

// buildNexmark wires a query to the topics of the command line.
func buildNexmark(b *topology.Builder, workload string, in []string, out string, table []topology.TopicOption) {
	bids := func() nexmark.Bids { return renamed(nexmark.BidTopic, in[0]).Stream(b) }
	switch workload {
	case "nexmark-q0":
		nexmark.Query0(bids()).To(renamed(nexmark.Results0, out))
	case "nexmark-q1":
		nexmark.Query1(bids()).To(renamed(nexmark.Results1, out))
	case "nexmark-q2":
		nexmark.Query2(bids()).To(renamed(nexmark.Results2, out))
	case "nexmark-q3":
		auctions, persons := renamed(nexmark.AuctionTopic, in[0], table...), renamed(nexmark.PersonTopic, in[1], table...)
		nexmark.Query3(auctions.Table(b), persons.Table(b)).To(renamed(nexmark.Results3, out))
	case "nexmark-q5":
		nexmark.Query5(bids()).To(renamed(nexmark.Results5, out))
	case "nexmark-q7":
		nexmark.Query7(bids()).To(renamed(nexmark.Results7, out))
	case "nexmark-q8":
		auctions, persons := renamed(nexmark.AuctionTopic, in[0]), renamed(nexmark.PersonTopic, in[1])
		nexmark.Query8(persons.Stream(b), auctions.Stream(b)).To(renamed(nexmark.Results8, out))
	case "nexmark-q11":
		nexmark.Query11(bids()).To(renamed(nexmark.Results11, out))
	case "nexmark-q13":
		side := renamed(nexmark.SideTopic, in[1], table...)
		nexmark.Query13(bids(), side.GlobalTable(b)).To(renamed(nexmark.Results13, out))
	case "nexmark-q17":
		nexmark.Query17(bids()).To(renamed(nexmark.Results17, out))
	case "nexmark-q18":
		nexmark.Query18(bids()).To(renamed(nexmark.Results18, out))
	case "nexmark-q20":
		auctions := renamed(nexmark.AuctionTopic, in[1], table...)
		nexmark.Query20(bids(), auctions.Table(b)).To(renamed(nexmark.Results20, out))
	}
}

// renamed is a topic's contract under another name.
func renamed[K comparable, V any](t topology.Topic[K, V], name string, opts ...topology.TopicOption) topology.Topic[K, V] {
	key, value := t.Codecs()
	return topology.NewTopic(name, key, value, opts...)
}
