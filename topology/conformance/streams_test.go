package conformance_test

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

func init() {
	conformanceOps["join-stream-stream"] = streamStreamCase
	conformanceOps["join-self"] = selfJoinCase
	conformanceOps["KStreamKStreamJoin"] = kstreamCase
	conformanceOps["StreamStreamJoinIntegrationTest"] = streamIntegrationCase
	conformanceOps["join-stream-table"] = streamTableCase
	conformanceOps["StreamTableJoinIntegrationTest"] = streamTableIntegrationCase
}

type strStream = topology.Stream[string, nullable]

// joinStreamsBy joins two streams as a case says it.
func joinStreamsBy(kind string, left, right strStream, name string, w topology.JoinWindow, f func(a, b topology.Opt[string]) string) strStream {
	flat := func(v topology.Opt[nullable]) nullable { return v.Value }
	some := func(a, b topology.Opt[nullable]) nullable { return topology.Some(f(flat(a), flat(b))) }
	switch kind {
	case "inner":
		return topology.JoinStreams(left, right, name, w, func(a, b nullable) nullable { return topology.Some(f(a, b)) })
	case "left":
		return topology.LeftJoinStreams(left, right, name, w, func(a nullable, b topology.Opt[nullable]) nullable { return some(topology.Some(a), b) })
	case "outer":
		return topology.OuterJoinStreams(left, right, name, w, some)
	}
	panic("join " + kind)
}

func (c *conformanceCase) window() topology.JoinWindow {
	return topology.Between(-c.ms("before_ms"), c.ms("after_ms")).Grace(c.ms("grace_ms"))
}

func streamStreamCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	joinStreamsBy(c.str("join"), nullStrings("left").Stream(b), nullStrings("right").Stream(b), "join", c.window(), joinText("%s+%s")).To(nullStrings("out"))
	return newSpec(b)
}

func selfJoinCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	in := nullStrings("input").Stream(b)
	f := joinText("%s+%s")
	if c.is("single_store") {
		topology.JoinSelf(in, "join", c.window(), func(a, b nullable) nullable { return topology.Some(f(a, b)) }).To(nullStrings("out"))
	} else {
		joinStreamsBy("inner", in, in, "join", c.window(), f).To(nullStrings("out"))
	}
	return newSpec(b)
}

func kstreamCase(c *conformanceCase) *conformanceSpec {
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
	left, right := nullStrings("topic1").Stream(b), nullStrings("topic2").Stream(b)
	if c.is("legacy_eager_outer") {
		eagerJoin(kind, left, right, c.windowMs(), f).To(nullStrings("out"))
	} else {
		joinStreamsBy(kind, left, right, "join", c.window(), f).To(nullStrings("out"))
	}
	return newSpec(b)
}

// eagerJoin is a join of streams that emits a record alone as soon as it finds no partner,
// though one may come later: an old way of Kafka Streams, which it has left. No operator does
// so here; a processor can.
func eagerJoin(kind string, left, right strStream, w [3]int64, f func(a, b topology.Opt[string]) string) strStream {
	type timed struct {
		Value string
		At    topology.Time
	}
	type sides struct{ Left, Right []timed }
	type ports struct{ Out topology.Out[nullable] }
	near := func(l, r topology.Time) bool { return r >= l-topology.Time(w[0]) && r <= l+topology.Time(w[1]) }
	type record = topology.Record[string, nullable]
	p := topology.NewProcessor(topology.Records(notNull(left)), "join", func(s sides, r record, out *ports) sides {
		alone := kind != "inner"
		for _, o := range s.Right {
			if near(r.Time, o.At) {
				out.Out.EmitAt(max(r.Time, o.At), topology.Some(f(r.Value, topology.Some(o.Value))))
				alone = false
			}
		}
		if alone {
			out.Out.Emit(topology.Some(f(r.Value, topology.None[string]())))
		}
		return sides{append(slices.Clone(s.Left), timed{r.Value.Value, r.Time}), s.Right}
	})
	topology.On(p, topology.Records(notNull(right)), func(s sides, r record, out *ports) sides {
		alone := kind == "outer"
		for _, o := range s.Left {
			if near(o.At, r.Time) {
				out.Out.EmitAt(max(r.Time, o.At), topology.Some(f(topology.Some(o.Value), r.Value)))
				alone = false
			}
		}
		if alone {
			out.Out.Emit(topology.Some(f(topology.None[string](), r.Value)))
		}
		return sides{s.Left, append(slices.Clone(s.Right), timed{r.Value.Value, r.Time})}
	})
	return topology.Output(p, &p.Ports.Out)
}

func streamIntegrationCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	text := c.str("topology")
	left := nullStrings("inputTopicLeft").Stream(b)
	w := topology.Within(10 * time.Second).Grace(24 * time.Hour)
	if strings.Contains(text, "with itself") {
		joinStreamsBy("inner", left, left, "join", w, joinText("%s-%s")).To(nullStrings("out"))
		return newSpec(b)
	}
	right := nullStrings("inputTopicRight").Stream(b)
	if strings.Contains(text, "re-keyed") {
		left, right = left.Repartition("left"), right.Repartition("right")
	}
	out := joinStreamsBy(joinKind(text), left, right, "join", w, joinText("%s-%s"))
	if strings.Contains(text, "again") {
		out = joinStreamsBy("inner", out, right, "again", w, joinText("%s-%s"))
	}
	out.To(nullStrings("out"))
	return newSpec(b)
}

func streamTableCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	if c.str("stream_key") == "as is" {
		t := viewOf(caseTopic("table").Table(b), c.str("table_view"), true)
		joinTableBy(c.str("join"), caseTopic("stream").Stream(b), t, joinText("%s+%s")).To(caseTopic("out"))
		return newSpec(b)
	}
	// The new key may be null: so keys are optional.
	keys := codec.Optional(codec.String)
	t := viewOf(topology.NewTopic("table", keys, codec.String).Table(b), c.str("table_view"), true)
	s := topology.KeyBy(caseTopic("stream").Stream(b), "by", func(v string) nullable {
		if k, _ := newKey(topology.Some(v)); k != "" {
			return topology.Some(k)
		}
		return topology.None[string]()
	}, topology.KeyCodec(keys))
	joinTableBy(c.str("join"), s, t, joinText("%s+%s")).To(topology.NewTopic("out", keys, codec.String))
	return newSpec(b)
}

func streamTableIntegrationCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	s, t := caseTopic("inputTopicLeft").Stream(b), c.table(b, "inputTopicRight", "versioned_history_retention_ms")
	joinTableBy(joinKind(c.str("topology")), s, t, joinText("%s-%s")).To(caseTopic("out"))
	return newSpec(b)
}

func joinTableBy[K comparable](kind string, s topology.Stream[K, string], t topology.Table[K, string], f func(a, b topology.Opt[string]) string) topology.Stream[K, string] {
	if kind == "inner" {
		return topology.Join(s, t, "join", func(a, b string) string { return f(topology.Some(a), topology.Some(b)) })
	}
	return topology.LeftJoin(s, t, "join", func(a string, b topology.Opt[string]) string { return f(topology.Some(a), b) })
}
