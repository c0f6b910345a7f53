package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
)

// naive is what a scenario's task does, said once more: a plain function of what it takes, which shares nothing with the
// core, nor with the functions of the example. It is told what each committed transaction says that its task took, in that order; what the
// transaction wrote must be what it writes then, and at the end its rows must be those of the tables.
type naive interface {
	// take is a record; wall is the time of the last tick before it.
	take(topic, key string, value []byte, wall core.Time)
	tick(wall core.Time)
	// rows are those of a table, by key; ok: the model knows it.
	rows(table string) (rows map[string]any, ok bool)
}

// emit writes a record to a topic: a text, or what stands in an object.
type emit func(topic, key string, value any)

// fields are the members of an object.
type fields map[string]any

// naiveRun are the models of a run's tasks.
type naiveRun struct {
	begin func(emit) naive
	tasks map[core.TaskID]*naiveTask
}

type naiveTask struct {
	naive
	pos  []core.Offset // by source
	wall core.Time
	out  map[naiveKey][]string // of the commit in hand
}

// naiveKey is a key in a topic: between records of different ones there is no order that the models know.
type naiveKey struct{ topic, key string }

func (r *naiveRun) task(s *shadow) *naiveTask {
	t := r.tasks[s.id]
	if t == nil {
		t = &naiveTask{pos: make([]core.Offset, len(s.in)), wall: -1}
		t.naive = r.begin(func(topic, key string, value any) {
			at := naiveKey{topic, key}
			t.out[at] = append(t.out[at], plainText(value))
		})
		r.tasks[s.id] = t
	}
	return t
}

// plainText is a value as it is compared: members of objects in the order of their names.
func plainText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	return string(mustJSON(value))
}

// sameText is the same of what was written.
func sameText(value []byte) string {
	var v any
	if json.Unmarshal(value, &v) != nil {
		return string(value)
	}
	return string(mustJSON(v))
}

// follow takes what the task took, and returns what the model writes.
func (t *naiveTask) follow(s *shadow, sc *sealed) map[naiveKey][]string {
	t.out = map[naiveKey][]string{}
	for _, d := range sc.decisions {
		if d.Source == core.Ticked {
			t.wall = core.Time(d.N)
			t.tick(t.wall)
		}
		if d.Source < 0 {
			continue
		}
		p := s.in[d.Source]
		for n := d.N; n > 0; t.pos[d.Source]++ {
			if e := &p.log[t.pos[d.Source]]; e.committed() {
				t.take(p.Topic, string(e.rec.Key), e.rec.Value, t.wall)
				n--
			}
		}
	}
	copy(t.pos, sc.next)
	return t.out
}

// naively checks what a transaction has written to topics that are no changelogs. The fresh run has gone before, and
// found that its decisions and offsets are right.
func (c *checker) naively(t *txn) error {
	want, got := map[naiveKey][]string{}, map[naiveKey][]string{}
	for i := range t.commits {
		s := c.task(t.commits[i].task)
		for at, values := range c.naive.task(s).follow(s, &t.commits[i]) {
			want[at] = append(want[at], values...)
		}
	}
	for _, p := range t.wrote {
		p = c.w.kafka.part(p.Partition)
		if c.writes(p) != checkOutputs {
			continue
		}
		for _, r := range t.records(p) {
			at := naiveKey{p.Topic, string(r.Key)}
			got[at] = append(got[at], sameText(r.Value))
		}
	}
	if maps.EqualFunc(got, want, slices.Equal) {
		return nil
	}
	var all []string
	for at, values := range got {
		if !slices.Equal(values, want[at]) {
			all = append(all, fmt.Sprintf("%s of %s: %q, and %q in the model", at.key, at.topic, values, want[at]))
		}
	}
	for at, values := range want {
		if len(got[at]) == 0 {
			all = append(all, fmt.Sprintf("%s of %s: nothing, and %q in the model", at.key, at.topic, values))
		}
	}
	slices.Sort(all)
	return fmt.Errorf("transaction %d of %s: %s", t.n, t.id.name, strings.Join(all, "; "))
}

// naiveRows compares the rows of tables with those of the models.
func naiveRows(w *world) error {
	for _, id := range w.check.ids() {
		s := w.check.tasks[id]
		for i, spec := range s.sub.Tables {
			rows, ok := w.check.naive.task(s).rows(spec.Name)
			if !ok {
				continue
			}
			want, got := map[string]string{}, map[string]string{}
			for k, v := range rows {
				want[k] = plainText(v)
			}
			for k, r := range s.tables[i].rows {
				got[k] = sameText(r.value)
			}
			if !maps.Equal(got, want) {
				return fmt.Errorf("task %v, table %s: the rows are %v, in the model %v", id, spec.Name, got, want)
			}
		}
	}
	return nil
}

// members reads an object.
func members(value []byte) fields {
	e := fields{}
	if err := json.Unmarshal(value, &e); err != nil {
		panic(err)
	}
	return e
}

func (e fields) text(name string) string { s, _ := e[name].(string); return s }

func (e fields) number(name string) int { n, _ := e[name].(float64); return int(n) }
