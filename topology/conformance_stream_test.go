package topology_test

import (
	"strconv"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

func init() {
	conformanceOps["join-stream-stream"] = streamStreamCase
	conformanceOps["join-self"] = selfJoinCase
	conformanceOps["KStreamKStreamJoinTests"] = kstreamCase
	conformanceOps["StreamStreamJoinIntegrationTest"] = streamIntegrationCase
	conformanceOps["join-stream-table"] = streamTableCase
	conformanceOps["StreamTableJoinIntegrationTest"] = streamTableIntegrationCase
}

func (c *conformanceCase) ms(name string) time.Duration {
	f, _ := c.Params[name].(float64)
	return time.Duration(f) * time.Millisecond
}

type strStream = topology.Stream[string, string]

// joinStreamsBy joins two streams as a case says it.
func joinStreamsBy(kind string, left, right strStream, name string, w topology.JoinWindow, f func(a, b topology.Opt[string]) string) strStream {
	switch kind {
	case "inner":
		return topology.JoinStreams(left, right, name, w, func(a, b string) string { return f(topology.Some(a), topology.Some(b)) })
	case "left":
		return topology.LeftJoinStreams(left, right, name, w, func(a string, b topology.Opt[string]) string { return f(topology.Some(a), b) })
	}
	return topology.OuterJoinStreams(left, right, name, w, f)
}

func (c *conformanceCase) window() topology.JoinWindow {
	return topology.Between(-c.ms("before_ms"), c.ms("after_ms")).Grace(c.ms("grace_ms"))
}

func streamStreamCase(c *conformanceCase) *topology.Builder {
	b := topology.New("case")
	joinStreamsBy(c.str("join"), caseTopic("left").Stream(b), caseTopic("right").Stream(b), "join", c.window(), joinText("%s+%s")).To(caseTopic("out"))
	return b
}

func selfJoinCase(c *conformanceCase) *topology.Builder {
	b := topology.New("case")
	in := caseTopic("input").Stream(b)
	joinStreamsBy("inner", in, in, "join", c.window(), joinText("%s+%s")).To(caseTopic("out"))
	return b
}

func kstreamCase(c *conformanceCase) *topology.Builder {
	if eager, _ := c.Params["legacy_eager_outer"].(bool); eager {
		return nil // of an API that Kafka Streams has deprecated: it emits matched records alone, too
	}
	b := topology.New("case")
	f := joinText("%s+%s")
	if strings.HasPrefix(c.str("joiner"), "int") {
		f = func(a, b topology.Opt[string]) string {
			x, _ := strconv.Atoi(a.Value)
			y, _ := strconv.Atoi(b.Value)
			return strconv.Itoa(x + y)
		}
	}
	kind := map[string]string{"join": "inner", "leftJoin": "left", "outerJoin": "outer"}[c.str("op")]
	joinStreamsBy(kind, caseTopic("topic1").Stream(b), caseTopic("topic2").Stream(b), "join", c.window(), f).To(caseTopic("out"))
	return b
}

func streamIntegrationCase(c *conformanceCase) *topology.Builder {
	b := topology.New("case")
	text := c.str("topology")
	left := caseTopic("inputTopicLeft").Stream(b)
	w := topology.Within(10 * time.Second).Grace(24 * time.Hour)
	if strings.Contains(text, "with itself") {
		joinStreamsBy("inner", left, left, "join", w, joinText("%s-%s")).To(caseTopic("out"))
		return b
	}
	right := caseTopic("inputTopicRight").Stream(b)
	if strings.Contains(text, "re-keyed") {
		left, right = left.Repartition("left"), right.Repartition("right")
	}
	out := joinStreamsBy(joinKind(text), left, right, "join", w, joinText("%s-%s"))
	if strings.Contains(text, "again") {
		out = joinStreamsBy("inner", out, right, "again", w, joinText("%s-%s"))
	}
	out.To(caseTopic("out"))
	return b
}

func streamTableCase(c *conformanceCase) *topology.Builder {
	b := topology.New("case")
	s := caseTopic("stream").Stream(b)
	if c.str("stream_key") != "" && c.str("stream_key") != "as is" {
		return nil // needs keys that are null
	}
	t := viewOf(caseTopic("table").Table(b), c.str("table_view"))
	joinTableBy(c.str("join"), s, t, joinText("%s+%s")).To(caseTopic("out"))
	return b
}

func streamTableIntegrationCase(c *conformanceCase) *topology.Builder {
	if c.Params["versioned_history_retention_ms"] != nil {
		return nil
	}
	b := topology.New("case")
	s, t := caseTopic("inputTopicLeft").Stream(b), caseTopic("inputTopicRight").Table(b)
	joinTableBy(joinKind(c.str("topology")), s, t, joinText("%s-%s")).To(caseTopic("out"))
	return b
}

func joinTableBy(kind string, s strStream, t strTable, f func(a, b topology.Opt[string]) string) strStream {
	if kind == "inner" {
		return topology.Join(s, t, "join", func(a, b string) string { return f(topology.Some(a), topology.Some(b)) })
	}
	return topology.LeftJoin(s, t, "join", func(a string, b topology.Opt[string]) string { return f(topology.Some(a), b) })
}
