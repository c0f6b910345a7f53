package topology_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func foreignTopology() *topology.Builder {
	b := topology.New("foreign")
	left, right := RowsA.Table(b), RowsB.Table(b)
	inner := topology.JoinForeign(left, right, "inner", first, plus)
	inner.To(Out)
	topology.LeftJoinForeign(left, right, "left", first, orNobody).To(Out2)
	topology.CountTable(inner, "by-last", func(s string) string { return s[len(s)-1:] }).To(Counts)
	return b
}

func TestJoinForeign(t *testing.T) {
	topologytest.EveryWay(t, func(d *driver) {
		left, right := open(d, RowsA), open(d, RowsB)
		left.Send("k", "x1")
		open(d, Out).WantNone()
		open(d, Out2).Want("x1+nobody")
		right.Send("x", "r1")
		left.Send("j", "x2")
		right.Send("x", "r2")
		open(d, Out).Want("x1+r1", "x2+r1", "x2+r2", "x1+r2") // by left key
		left.Send("k", "y1")
		open(d, Out).Want("") // a deletion
		right.Send("y", "r3")
		left.Delete("k")
		right.Send("y", "r4")
		right.Delete("x")
		open(d, Out).Want("y1+r3", "", "")
		open(d, Out2).Want("x1+r1", "x2+r1", "x2+r2", "x1+r2", "y1+nobody", "y1+r3", "", "x2+nobody")
		topologytest.Table[string, string](d, "inner").Want(nil)
		topologytest.Table[string, string](d, "left").Want(map[string]string{"j": "x2+nobody"})
		topologytest.Table[string, int64](d, "by-last").Want(map[string]int64{"1": 0, "2": 0, "3": 0})
	}, foreignTopology())
}

// foreignModel is what the rows of foreignTopology are.
func foreignModel(a, b map[string]string) (inner, left map[string]string, counts map[string]int64) {
	inner, left, counts = map[string]string{}, map[string]string{}, map[string]int64{}
	for k, v := range a {
		r, ok := b[v[:1]]
		left[k] = orNobody(v, topology.Opt[string]{Value: r, OK: ok})
		if ok {
			inner[k] = v + "+" + r
			counts[r[len(r)-1:]]++
		}
	}
	return inner, left, counts
}

func foreignSteps(rt *rapid.T) []sent {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sent {
		s := sent{
			topic: rapid.SampledFrom([]string{"rows-a", "rows-b"}).Draw(t, "topic"),
			key:   rapid.SampledFrom([]string{"x", "y", "xy"}).Draw(t, "key"),
			value: rapid.SampledFrom([]string{"x1", "y1", "x2", "y2", ""}).Draw(t, "value"),
			at:    rapid.Int64Range(0, 9).Draw(t, "at"),
		}
		if s.topic == "rows-a" {
			s.key = "k" + s.key
		}
		return s
	}), 1, 30).Draw(rt, "steps")
}

func foldSteps(steps []sent) map[string]map[string]string {
	rows := map[string]map[string]string{"rows-a": {}, "rows-b": {}}
	for _, s := range steps {
		if s.value == "" {
			delete(rows[s.topic], s.key)
		} else {
			rows[s.topic][s.key] = s.value
		}
	}
	return rows
}

func bytesOrNil(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func TestJoinForeignAgainstMaps(t *testing.T) {
	b := foreignTopology()
	rapid.Check(t, func(rt *rapid.T) {
		steps := foreignSteps(rt)
		rows := foldSteps(steps)
		inner, left, counts := foreignModel(rows["rows-a"], rows["rows-b"])
		for _, way := range []topologytest.Config{{}, {Batch: 100, CommitEvery: 100}, {Seed: 3, CrashAfter: 4}, {Partitions: 4}, {Partitions: 3, CommitEvery: 2, CrashAfter: 3}} {
			d := way.New(t, b)
			for _, s := range steps {
				open(d, caseTopic(s.topic)).SendRawAt(topologytest.At("00:01")+topology.Time(s.at), []byte(s.key), bytesOrNil(s.value))
			}
			for name, want := range map[string]map[string]string{"inner": inner, "left": left} {
				if got := topologytest.Table[string, string](d, name).Rows(); !maps.Equal(got, want) {
					rt.Fatalf("%+v: %s join: got %v, want %v", way, name, got, want)
				}
			}
			if n := topologytest.Count(d, "inner-subscription-store"); n != len(rows["rows-a"]) {
				rt.Fatalf("%+v: %d subscriptions of %d rows", way, n, len(rows["rows-a"]))
			}
			got := topologytest.Table[string, int64](d, "by-last").Rows()
			maps.DeleteFunc(got, func(_ string, n int64) bool { return n == 0 })
			if !maps.Equal(got, counts) {
				rt.Fatalf("%+v: counts: got %v, want %v", way, got, counts)
			}
		}
	})
}

// Whatever overtakes what, between the two sides, no wrong result comes out: each is of a
// left row and the right row that it refers to, both as they were at one time, and in the
// end the results are those of the rows.
func TestJoinForeignRaces(t *testing.T) {
	b := topology.New("races")
	topology.JoinForeign(RowsA.Table(b), RowsB.Table(b), "inner", first, plus).To(Out)
	topology.LeftJoinForeign(RowsA.Table(b), RowsB.Table(b), "left", first, orNobody).To(Out2)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		steps := foreignSteps(rt)
		r := newRace(plan)
		for _, s := range steps {
			r.topics[s.topic] = append(r.topics[s.topic], core.RawRecord{Key: []byte(s.key), Value: bytesOrNil(s.value), Time: 1, Offset: core.Offset(len(r.topics[s.topic]))})
		}
		for {
			var open []raceSource
			for i := range r.tasks {
				for j, src := range r.tasks[i].sub.Sources {
					if r.tasks[i].next[j] < len(r.topics[src.TopicName("races")]) {
						open = append(open, raceSource{i, j})
					}
				}
			}
			if len(open) == 0 {
				break
			}
			src := rapid.SampledFrom(open).Draw(rt, "source")
			r.step(rt, src, rapid.IntRange(1, 3).Draw(rt, "records"))
		}
		rows := foldSteps(steps)
		inner, left, _ := foreignModel(rows["rows-a"], rows["rows-b"])
		for topic, want := range map[string]map[string]string{"out": inner, "out2": left} {
			got := map[string]string{}
			for _, rec := range r.topics[topic] {
				k, v := string(rec.Key), string(rec.Value)
				if rec.Value == nil {
					delete(got, k)
					continue
				}
				got[k] = v
				l, right, _ := strings.Cut(v, "+")
				was := slices.ContainsFunc(steps, func(s sent) bool { return s.topic == "rows-a" && s.key == k && s.value == l })
				ref := right == "nobody" || slices.ContainsFunc(steps, func(s sent) bool { return s.topic == "rows-b" && s.key == l[:1] && s.value == right })
				if !was || !ref {
					rt.Fatalf("%s: %s -> %s never was", topic, k, v)
				}
			}
			if !maps.Equal(got, want) {
				rt.Fatalf("%s: got %v, want %v", topic, got, want)
			}
		}
	})
}

// A row moves to a right row that is not there, and changes again before the answer: that
// one says nothing of the move, but the result of the old right row must go.
func TestJoinForeignMovesAndChanges(t *testing.T) {
	b := topology.New("races")
	topology.JoinForeign(RowsA.Table(b), RowsB.Table(b), "inner", first, plus).To(Out)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := newRace(plan)
	send := func(topic, key, value string) {
		r.topics[topic] = append(r.topics[topic], core.RawRecord{Key: []byte(key), Value: []byte(value), Time: 1, Offset: core.Offset(len(r.topics[topic]))})
	}
	send("rows-b", "x", "r")
	send("rows-a", "k", "x1")
	r.rest(t)
	send("rows-a", "k", "y1")
	send("rows-a", "k", "y2")
	r.rest(t)
	var got []string
	for _, rec := range r.topics["out"] {
		got = append(got, string(rec.Value))
	}
	if !slices.Equal(got, []string{"x1+r", ""}) {
		t.Errorf("got %q", got)
	}
}

// A row is deleted, put again and deleted again before any answer: the result goes with the answer
// to the last deletion.
func TestJoinForeignDeletedAgain(t *testing.T) {
	b := topology.New("races")
	topology.JoinForeign(RowsA.Table(b), RowsB.Table(b), "inner", first, plus).To(Out)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := newRace(plan)
	send := func(topic, value string, at core.Time) {
		rec := core.RawRecord{Key: []byte("k"), Time: at, Offset: core.Offset(len(r.topics[topic]))}
		if rec.Value = []byte(value); value == "" {
			rec.Value = nil
		}
		if topic == "rows-b" {
			rec.Key = []byte("x")
		}
		r.topics[topic] = append(r.topics[topic], rec)
	}
	send("rows-b", "r", 1)
	send("rows-a", "x1", 2)
	r.rest(t)
	send("rows-a", "", 5)
	send("rows-a", "x2", 6)
	send("rows-a", "", 7)
	r.rest(t)
	var got []string
	for _, rec := range r.topics["out"] {
		got = append(got, fmt.Sprintf("%s@%d", rec.Value, rec.Time))
	}
	if want := []string{"x1+r@2", "@7"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// race runs the tasks of a plan with one partition, each as far as it is told.
type race struct {
	tasks  []raceTask
	topics map[string][]core.RawRecord
}

type raceTask struct {
	sub  *topology.Subtopology
	task *core.Task
	next []int
}

type raceSource struct{ task, source int }

// rest lets all tasks take all that there is.
func (r *race) rest(t *testing.T) {
	for did := true; did; {
		did = false
		for i := range r.tasks {
			for j, src := range r.tasks[i].sub.Sources {
				if r.tasks[i].next[j] < len(r.topics[src.TopicName("races")]) {
					r.step(t, raceSource{i, j}, 100)
					did = true
				}
			}
		}
	}
}

// blank is a view of no rows: tasks keep all of theirs.
type blank struct{}

func (blank) Get(_, buf []byte) ([]byte, core.Time, bool, error)              { return buf, 0, false, nil }
func (blank) Scan([]byte, []byte, func([]byte, []byte, core.Time) bool) error { return nil }

func newRace(plan *topology.Plan) *race {
	r := &race{topics: map[string][]core.RawRecord{}}
	for _, sub := range plan.Subtopologies() {
		task := sub.NewTask(core.TaskConfig{ID: core.TaskID{Sub: sub.ID}, View: func(core.TableID) core.View { return blank{} }, CacheBytes: 1 << 30})
		r.tasks = append(r.tasks, raceTask{sub, task, make([]int, len(sub.Sources))})
	}
	return r
}

// step gives records of one source to its task, as if all others had none.
func (r *race) step(t interface{ Fatal(...any) }, at raceSource, n int) {
	rt := &r.tasks[at.task]
	var bs []*core.Batch
	for j, src := range rt.sub.Sources {
		b := &core.Batch{Source: core.SourceID(j), Next: core.Offset(rt.next[j]), CaughtUp: true}
		if j == at.source {
			log := r.topics[src.TopicName("races")]
			end := min(rt.next[j]+n, len(log))
			b.Records, b.Next = log[rt.next[j]:end], core.Offset(end)
			rt.next[j] = end
		}
		bs = append(bs, b)
	}
	if err := rt.task.Step(bs...); err != nil {
		t.Fatal(err)
	}
	c, err := rt.task.Ready()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range c.Outputs {
		name := rt.sub.Sinks[o.Sink].TopicName("races")
		r.topics[name] = append(r.topics[name], core.RawRecord{
			Key: bytes.Clone(o.Key), Value: bytes.Clone(o.Value), Time: o.Time, Offset: core.Offset(len(r.topics[name])),
		})
	}
	rt.task.Advance()
}

// What goes between the sides, and what is refused.
func TestJoinForeignDescription(t *testing.T) {
	plan, err := foreignTopology().Build()
	if err != nil {
		t.Fatal(err)
	}
	text := plan.Describe(topology.AsText)
	for _, want := range []string{
		"foreign-inner-subscription-repartition", "foreign-inner-answer-repartition",
		"table inner-versions: string -> int64", "table inner-subscription-store: subscriber(string, string) -> int64", "table inner: string -> ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	a, b := topology.New("a"), topology.New("b")
	topology.JoinForeign(RowsA.Table(a), RowsB.Table(b), "join", first, plus)
	if _, err := a.Build(); err == nil || !strings.Contains(fmt.Sprint(err), "the right table is of another topology") {
		t.Error(err)
	}
}
