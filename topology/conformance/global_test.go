package conformance_test

import (
	"strings"

	"github.com/seed-81380e12/limpet/topology"
)

func init() { conformanceOps["join-stream-global"] = globalCase }

// globalCase joins a stream with a global table. A lookup key that is null finds nothing in
// Kafka Streams; here a key says the same that the table does not have.
func globalCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	g := caseTopic("global").GlobalTable(b)
	type record = topology.Record[string, string]
	s := topology.Records(caseTopic("stream").Stream(b))
	key := func(r record) string { return r.Key }
	if c.str("lookup_key") != "the stream's key" {
		key = func(r record) string {
			if k, _, _ := strings.Cut(r.Value, ":"); k != "-" {
				return k
			}
			return "nothing"
		}
	}
	f := joinText("%s+%s")
	if c.str("join") == "left" {
		topology.LeftJoinGlobal(s, g, "join", key, func(r record, g topology.Opt[string]) string { return f(topology.Some(r.Value), g) }).To(caseTopic("out"))
	} else {
		topology.JoinGlobal(s, g, "join", key, func(r record, g string) string { return f(topology.Some(r.Value), topology.Some(g)) }).To(caseTopic("out"))
	}
	spec := newSpec(b)
	for store := range c.States {
		spec.state(store, "global", wireText{plainText, plainText})
	}
	return spec
}
