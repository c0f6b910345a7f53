package topology_test

import (
	"github.com/seed-81380e12/limpet/topology"
)

// Joins of a stream with a versioned table, at once and with grace.

func init() {
	for _, op := range []string{"join-stream-table-versioned", "join-stream-table-grace", "StreamTableJoinWithGraceIntegrationTest"} {
		conformanceOps[op] = versionedJoinCase
	}
}

func versionedJoinCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	stream, table, history, grace, joiner := "stream", "table", "history_retention_ms", "grace_ms", "%s+%s"
	kind := c.str("join")
	if kind == "" { // a case of Kafka's own
		stream, table, history, grace, joiner = "inputTopicLeft", "inputTopicRight", "versioned_history_retention_ms", "join_grace_ms", "%s-%s"
		kind = joinKind(c.str("topology"))
	}
	rows := caseTopic(table).Table(b, topology.Versioned(c.ms(history)))
	rows.To(caseTopic("latest"))
	var opts []topology.JoinOption
	if c.has(grace) {
		opts = append(opts, topology.Grace(c.ms(grace)))
	}
	s, t, f := caseTopic(stream).Stream(b), viewOf(rows, c.str("table_view"), true), joinText(joiner)
	if kind == "inner" {
		topology.Join(s, t, "join", func(a, b string) string { return f(topology.Some(a), topology.Some(b)) }, opts...).To(caseTopic("out"))
	} else {
		topology.LeftJoin(s, t, "join", func(a string, b topology.Opt[string]) string { return f(topology.Some(a), b) }, opts...).To(caseTopic("out"))
	}
	spec := newSpec(b)
	for store := range c.States {
		spec.folded(store, "latest")
	}
	return spec
}
