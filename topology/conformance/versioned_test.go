package conformance_test

import (
	"fmt"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// Joins of a stream with a versioned table, at once and with grace.

func init() {
	for _, op := range []string{"join-stream-table-versioned", "join-stream-table-grace", "StreamTableJoinWithGraceIntegrationTest"} {
		conformanceOps[op] = versionedJoinCase
		conformanceRules[op] = []conformanceRule{{"tombstone-forgotten", tombstoneForgotten(joinAsOf)}}
	}
}

// versionedJoin is what a case calls the parts of such a join.
type versionedJoin struct{ kind, stream, table, history, grace, format string }

func versionedJoinOf(c *conformanceCase) versionedJoin {
	if kind := c.str("join"); kind != "" {
		return versionedJoin{kind, "stream", "table", "history_retention_ms", "grace_ms", "%s+%s"}
	}
	return versionedJoin{joinKind(c.str("topology")), "inputTopicLeft", "inputTopicRight", "versioned_history_retention_ms", "join_grace_ms", "%s-%s"} // of Kafka's own
}

func versionedJoinCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	j := versionedJoinOf(c)
	rows := topology.VersionedTable(b, caseTopic(j.table), c.ms(j.history))
	rows.To(caseTopic("latest"))
	var opts []topology.JoinOption
	if c.has(j.grace) {
		opts = append(opts, topology.Grace(c.ms(j.grace)))
	}
	s, t, f := caseTopic(j.stream).Stream(b), viewOf(rows, c.str("table_view"), true), joinText(j.format)
	if j.kind == "inner" {
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

func init() {
	conformanceOps["versioned-store"] = versionedStoreCase
	conformanceRules["versioned-store"] = []conformanceRule{{"tombstone-forgotten", tombstoneForgotten(versionedSteps)}}
}

// What the table of a case holds is "=value from time", or "=" where it is deleted; what it is
// asked begins with "?". One stream has both, so a deletion's answer is of before. A second table
// has a mark for each version, deletions too, so it shows which are taken, and until when they are valid.
const deletedVersion = "="

type versionPorts struct {
	Row, Mark                 topology.Row[string]
	Put, Delete, Get, GetAsOf topology.Out[string]
}

// versionedStoreCase is a versioned table that a processor reads.
func versionedStoreCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	history := c.ms("history_retention_ms")
	told := func(what string) topology.Stream[string, string] {
		return topology.FlatMap(topology.Records(nullStrings(what).Stream(b)), func(r topology.Record[string, nullable], out *topology.Out[string]) {
			version := deletedVersion
			if r.Value.OK {
				version = fmt.Sprintf("=%s from %d", r.Value.Value, r.Time)
			}
			mark := fmt.Sprintf("%s at %d", version, r.Time)
			switch what {
			case "put":
				out.Emit("!" + mark)
				out.Emit(version)
				out.Emit("?put " + version)
			case "delete":
				out.Emit("!" + mark)
				out.Emit("?delete " + version)
				out.Emit(version)
			default:
				out.Emit("?" + what)
			}
		})
	}
	all := told("put").Merge(told("delete"), told("get"), told("get-as-of"))
	begins := func(with byte) topology.Stream[string, string] {
		return all.Filter(func(v string) bool { return v[0] == with })
	}
	rows := topology.ToVersionedTable(begins('='), "vs", history, topology.DeleteWhen(func(v string) bool { return v == deletedVersion }))
	marks := topology.ToVersionedTable(begins('!'), "marks", history)
	p := topology.NewProcessor(topology.Records(begins('?')), "asked",
		func(_ int64, r topology.Record[string, string], p *versionPorts) int64 {
			what, version, _ := strings.Cut(r.Value, " ")
			mark := fmt.Sprintf("!%s at %d", version, r.Time)
			markAt := func(at core.Time) string { v, _ := p.Mark.AsOf(at); return v }
			rowAt := func(at core.Time) string { v, _ := p.Row.AsOf(at); return v }
			switch {
			case what == "?put" && version != deletedVersion:
				p.Put.Emit(putAnswer(version, r.Time, core.Ms(history), rowAt))
			case what == "?put":
				p.Put.Emit(putAnswer(mark, r.Time, core.Ms(history), markAt))
			case what == "?delete" && markAt(r.Time) != mark: // too old: nothing is done
				p.Delete.Emit("none")
			case what == "?delete":
				p.Delete.Emit(answerOf(rowAt(r.Time)))
			case what == "?get":
				v, _ := p.Row.Get()
				p.Get.Emit(answerOf(v))
			default:
				p.GetAsOf.Emit(answerOf(rowAt(r.Time)))
			}
			return 0
		})
	topology.Read(p, &p.Ports.Row, rows)
	topology.Read(p, &p.Ports.Mark, marks)
	s := newSpec(b)
	s.outs = map[string]wireText{}
	for _, out := range []struct {
		topic string
		port  *topology.Out[string]
	}{{"out-put", &p.Ports.Put}, {"out-delete", &p.Ports.Delete}, {"out-get", &p.Ports.Get}, {"out-get-as-of", &p.Ports.GetAsOf}} {
		s.outs[out.topic] = wireText{plainText, plainText}
		topology.Output(p, out.port).To(caseTopic(out.topic))
	}
	topology.MapTable(rows, func(v string) string { v, _, _ = strings.Cut(v[1:], " from "); return v }).To(caseTopic("latest"))
	s.folded(c.str("store"), "latest")
	return s
}

// versionText is what a case calls a version that is there, or none.
func versionText(v valueFrom, ok bool) string {
	if !ok {
		return "none"
	}
	return fmt.Sprintf("%s from %d", *v.value, v.at)
}

// answerOf is what a case calls a version that was found, or none.
func answerOf(version string) string {
	if version == "" || version == deletedVersion {
		return "none"
	}
	return strings.TrimPrefix(version, "=")
}

// putAnswer says how long the version that was just put at a time is valid: it is found as of
// each time until that of the next one. There are none later than the history behind it, else
// it were too old itself.
func putAnswer(put string, at, history core.Time, asOf func(core.Time) string) string {
	if asOf(at) != put {
		return "too old"
	}
	for t := at + 1; t <= at+history; t++ {
		if asOf(t) != put {
			return fmt.Sprint("valid to ", t)
		}
	}
	return "latest"
}

// tombstoneForgotten is the rule of that name: a deletion counts also where what it takes out is of its very time. Kafka
// Streams' store forgets such a one.
func tombstoneForgotten(play func(*conformanceCase, versionStores) *conformanceCase) func(*conformanceCase) (streams, limpet *conformanceCase) {
	return func(c *conformanceCase) (streams, limpet *conformanceCase) {
		if streams = play(c, ksVersionStore); streams == nil {
			return nil, nil
		}
		return streams, play(c, listedVersionStore)
	}
}

func ksVersionStore(history core.Time) versionStore { return newKSVersions(history) }

func listedVersionStore(history core.Time) versionStore { return newVersionModel(history) }

// versionStores makes a model of a store that has a history.
type versionStores func(history core.Time) versionStore

// versionedSteps is the case with what a model makes of it.
func versionedSteps(c *conformanceCase, stores versionStores) *conformanceCase {
	m := stores(core.Ms(c.ms("history_retention_ms")))
	var steps []conformanceStep
	for _, s := range c.Steps {
		want := map[string][]conformanceRecord{}
		for _, in := range s.In {
			key, answer := *in.Key, ""
			switch in.Topic {
			case "put":
				switch to := m.put(key, in.Value, in.At); to {
				case notPut:
					answer = "too old"
				case stillValid:
					answer = "latest"
				default:
					answer = fmt.Sprint("valid to ", to)
				}
			case "delete":
				v, ok := m.asOf(key, in.At)
				taken := m.put(key, nil, in.At) != notPut
				answer = versionText(v, ok && taken)
			case "get":
				answer = versionText(m.latest(key))
			default:
				answer = versionText(m.asOf(key, in.At))
			}
			topic := "out-" + in.Topic
			want[topic] = append(want[topic], conformanceRecord{topic, in.Key, &answer, in.At})
		}
		steps = append(steps, conformanceStep{s.In, want})
	}
	return c.with(steps).latestRows(m)
}
