package topology_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// drawRows draws changes of the rows of a table: "x" deletes.
func drawRows(t *rapid.T, values ...string) []sent {
	at := int64(5)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sent {
		at = max(0, at+rapid.Int64Range(-2, 3).Draw(t, "later"))
		return sent{
			key: rapid.SampledFrom([]string{"a", "b", "ab", "c"}).Draw(t, "key"), value: rapid.SampledFrom(values).Draw(t, "value"), at: at,
		}
	}), 1, 40).Draw(t, "changes")
}

// row is a value that is there unless it is "x".
func row(value string) topology.Opt[string] {
	if deletable(value) {
		return topology.None[string]()
	}
	return topology.Some(value)
}

// Of the records of each commit the last change of each row goes on, in the order in which the
// rows were first changed.
func TestEmitPerCommitIsAsTheModel(t *testing.T) {
	b := topology.New("per-commit")
	changesTo(topology.EmitPerCommit(paced1.Stream(b).ToTable("rows", topology.DeleteWhen(deletable))), paced2)
	rapid.Check(t, func(rt *rapid.T) {
		commit := rapid.IntRange(1, 9).Draw(rt, "commit")
		steps := drawRows(rt, "1", "2", "3", "x")
		var want []string
		rows := map[string]topology.Opt[string]{} // as of the last commit
		for batch := range slices.Chunk(steps, commit) {
			var order []string
			last := map[string]sent{}
			for _, s := range batch {
				if _, ok := last[s.key]; !ok {
					order = append(order, s.key)
				}
				last[s.key] = s
			}
			for _, k := range order {
				old, now := rows[k], row(last[k].value)
				if rows[k] = now; old.OK || now.OK {
					want = append(want, fmt.Sprintf("%s %s>%s @%d", k, old.Or("-"), now.Or("-"), last[k].at))
				}
			}
		}
		d := topologytest.Config{CommitEvery: commit}.New(t, b)
		in := topologytest.Topic(d, paced1)
		for _, s := range steps {
			in.SendAt(topology.Time(s.at), s.key, s.value)
		}
		var got []string
		for _, r := range topologytest.Topic(d, paced2).Records() {
			got = append(got, fmt.Sprintf("%s %s @%d", r.Key, r.Value, r.Time))
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("a commit in %d: %v: got\n%q\nwant\n%q", commit, steps, got, want)
		}
	})
}

// The groups of a table's rows are folded change by change: the old row is taken out of its group
// first, then the new one put into its own, and what stays in its group is one change of it. The
// functions tell in which order they were called.
func TestTableGroupsAreAsTheModel(t *testing.T) {
	one := topology.Partitions(1)
	rows := topology.NewTopic("rows", codec.String, codec.String, one)
	reduced, folded := topology.NewTopic("reduced", codec.String, codec.String, one), topology.NewTopic("folded", codec.String, codec.String, one)
	add := func(sum, v string) string { return short(sum + "+" + v) }
	remove := func(sum, v string) string { return short(sum + "-" + v) }
	full := func(sum string) bool { return len(sum)%5 == 4 } // such a group is deleted
	b := topology.New("groups")
	table := rows.Stream(b).ToTable("table", topology.DeleteWhen(deletable))
	changesTo(topology.ReduceTable(table, "reduce", first, add, remove, topology.KeyCodec(codec.String), topology.DeleteWhen(full)), reduced)
	changesTo(topology.AggregateTable(table, "fold", first, add, remove, topology.KeyCodec(codec.String), topology.DeleteWhen(full)), folded)
	type change struct{ old, now topology.Opt[string] }
	rapid.Check(t, func(rt *rapid.T) {
		steps := drawRows(rt, "p1", "p2", "q1", "q2", "r", "x")
		model := func(reduce bool) (want []string) {
			held, groups := map[string]topology.Opt[string]{}, map[string]topology.Opt[string]{}
			for _, s := range steps {
				old, now := held[s.key], row(s.value)
				held[s.key] = now
				parts := []change{{old, now}}
				if old.OK && now.OK && first(old.Value) != first(now.Value) {
					parts = []change{{old, topology.None[string]()}, {topology.None[string](), now}}
				}
				for _, p := range parts {
					if !p.old.OK && !p.now.OK {
						continue
					}
					g := first(p.old.Or(p.now.Value))
					was := groups[g]
					is := was
					if p.old.OK && is.OK {
						is.Value = remove(is.Value, p.old.Value)
					}
					switch {
					case !p.now.OK:
					case reduce && !is.OK:
						is = p.now
					default:
						is = topology.Some(add(is.Value, p.now.Value))
					}
					if is.OK && full(is.Value) {
						is = topology.None[string]()
					}
					if groups[g] = is; was.OK || is.OK {
						want = append(want, fmt.Sprintf("%s %s>%s", g, was.Or("-"), is.Or("-")))
					}
				}
			}
			return want
		}
		for _, way := range windowWays {
			way.Partitions = 1
			d := way.New(t, b)
			in := topologytest.Topic(d, rows)
			for _, s := range steps {
				in.SendAt(topology.Time(s.at), s.key, s.value)
			}
			for _, to := range []topology.Topic[string, string]{reduced, folded} {
				var got []string
				for _, r := range topologytest.Topic(d, to).Records() {
					if r.Value != "->-" { // a deletion of what was not there
						got = append(got, r.Key+" "+r.Value)
					}
				}
				if want := model(to.Name() == reduced.Name()); !slices.Equal(got, want) {
					rt.Fatalf("%+v: %s of %v: got\n%q\nwant\n%q", way, to.Name(), steps, got, want)
				}
			}
		}
	})
}

// short is the end of a text.
func short(s string) string { return s[max(0, len(s)-11):] }
