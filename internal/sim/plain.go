package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
)

// plainRun computes a random topology a third time, by package plain, which shares nothing with the core: so a rule
// that is wrong in both other runs alike is seen. It is told what each committed transaction says that its tasks took.
type plainRun struct {
	model   *plain.Topology
	through map[string]bool
	tasks   map[core.TaskID]*plainTask
}

type plainTask struct {
	*plain.Task
	pos  []core.Offset // by source
	came []core.Time   // by source: when what is taken next arrived
	seen map[core.GlobalID][]core.Offset
}

func newPlainRun(model *plain.Topology, plan *topology.Plan) *plainRun {
	r := &plainRun{model: model, through: map[string]bool{}, tasks: map[core.TaskID]*plainTask{}}
	for _, sub := range plan.Subtopologies() {
		for _, s := range sub.Sources {
			if s.Repartition {
				r.through[s.Topic] = true
			}
		}
	}
	return r
}

func (r *plainRun) task(k *kafka, s *shadow) *plainTask {
	t := r.tasks[s.id]
	if t == nil {
		t = &plainTask{
			Task: r.model.Task(plain.Config{
				App: app, Partition: s.id.Partition, Through: r.through,
				Partitions: func(topic string) int32 { return k.topics[topic].Partitions },
			}),
			pos: make([]core.Offset, len(s.in)), came: make([]core.Time, len(s.in)),
		}
		r.tasks[s.id] = t
	}
	return t
}

// committed checks what a transaction has written to topics that are no changelogs. The fresh run has gone before, and
// found that its decisions and offsets are right.
func (c *checker) plainly(t *txn) error {
	want := map[*partition][]core.RawRecord{}
	var dead, wantDead []string
	for i := range t.commits {
		s := c.task(t.commits[i].task)
		for _, o := range c.plain.task(c.w.kafka, s).follow(s, &t.commits[i]) {
			if o.Dead != nil {
				wantDead = append(wantDead, wantedLetter(s.id, &o))
				continue
			}
			p := c.w.kafka.topics[o.Topic].parts[o.Partition]
			want[p] = append(want[p], core.RawRecord{Key: o.Key, Value: o.Value, Headers: o.Headers.Raw(), Time: o.Time})
		}
	}
	for _, p := range t.wrote {
		p = c.w.kafka.part(p.Partition)
		if c.writes(p) != checkOutputs {
			continue
		}
		if strings.HasSuffix(p.Topic, deadLetterSuffix) {
			for _, r := range t.records(p) {
				dead = append(dead, letter(p.ID, &r))
			}
			continue
		}
		if err := samePlainly(t.records(p), want[p]); err != nil {
			return fmt.Errorf("transaction %d of %s: %v: %w", t.n, t.id.name, p.Partition, err)
		}
		delete(want, p)
	}
	for _, p := range slices.SortedFunc(maps.Keys(want), func(a, b *partition) int { return comparePartitions(a.Partition, b.Partition) }) {
		return fmt.Errorf("transaction %d of %s: nothing was written to %v, where the model writes %s", t.n, t.id.name, p.Partition, show(&want[p][0]))
	}
	slices.Sort(dead)
	slices.Sort(wantDead)
	if !slices.Equal(dead, wantDead) {
		return fmt.Errorf("transaction %d of %s: the dead letters are\n%s\nand in the model\n%s", t.n, t.id.name, strings.Join(dead, "\n"), strings.Join(wantDead, "\n"))
	}
	return nil
}

// letter and wantedLetter are what is compared of a dead letter: of a record all but the texts that say what went wrong and
// where. Of what an operator has held it is the reason and the record that let it go, since the model does not know how
// operators write their rows, nor thus where the letter lies: so their order is not compared.
func letter(partition int32, r *core.RawRecord) string {
	h := core.HeadersOf(r.Headers)
	header := func(name string) string { v, _ := h.Get(name); return v }
	why := fmt.Sprintf("%s of %s@%s in %s", header(core.HeaderReason), header(core.HeaderTopic), header(core.HeaderOffset), header(core.HeaderTask))
	if _, held := h.Get(core.HeaderHeldBy); held {
		return "held, " + why
	}
	var own []string
	for k, v := range h.All() {
		if !strings.HasPrefix(k, "__streams.errors.") && !strings.HasPrefix(k, "limpet.errors.") {
			own = append(own, k+": "+v)
		}
	}
	return fmt.Sprintf("%s, %d: %s %v", why, partition, show(r), own)
}

func wantedLetter(id core.TaskID, o *plain.Out) string {
	why := fmt.Sprintf("%s of %s@%d in %v", o.Dead.Reason, o.Dead.Topic, o.Dead.Offset, id)
	if o.Dead.Held {
		return "held, " + why
	}
	r := core.RawRecord{Key: o.Key, Value: o.Value, Headers: o.Headers.Raw(), Time: o.Time}
	return fmt.Sprintf("%s, %d: %s %v", why, o.Partition, show(&r), headersOf(&r))
}

// moved is what a global table has when a task sees it somewhere else.
func (t *plainTask) moved(s *shadow, d core.Decision) map[string]string {
	if t.seen == nil {
		t.seen = map[core.GlobalID][]core.Offset{}
	}
	topic := s.global[d.Global].topic
	if t.seen[d.Global] == nil {
		t.seen[d.Global] = make([]core.Offset, len(topic.parts))
	}
	t.seen[d.Global][d.Partition] = core.Offset(d.N)
	rows := map[string]string{}
	for k, r := range topic.fold(t.seen[d.Global]) {
		rows[k] = string(r.value)
	}
	return rows
}

// follow takes what the task took, and returns what the model writes.
func (t *plainTask) follow(s *shadow, sc *sealed) []plain.Out {
	for _, d := range sc.decisions {
		switch {
		case d.Source == core.Ticked:
			t.Tick(core.Time(d.N))
		case d.Source == core.Passed:
			t.Pass(core.Time(d.N))
		case d.Source == core.Moved:
			t.Moved(s.global[d.Global].topic.Name, t.moved(s, d))
		case d.Source < core.Passed:
			t.came[core.ArrivalOf(d.Source)] = core.Time(d.N)
		default:
			p := s.in[d.Source]
			for n := d.N; n > 0; t.pos[d.Source]++ {
				e := &p.log[t.pos[d.Source]]
				if !e.committed() {
					continue
				}
				t.Take(plain.In{
					Topic: p.Topic, Offset: int64(t.pos[d.Source]), Key: e.rec.Key, Value: e.rec.Value,
					Time: e.rec.Time, Headers: core.HeadersOf(e.rec.Headers), Arrived: t.came[d.Source],
				})
				n--
			}
		}
	}
	t.Commit()
	copy(t.pos, sc.next)
	return t.Out()
}

func samePlainly(got, want []core.RawRecord) error {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Errorf("%d records were written, the model writes %d: %s is missing", len(got), len(want), show(&want[i]))
		case i >= len(want):
			return fmt.Errorf("%d records were written, the model writes %d: %s is too much", len(got), len(want), show(&got[i]))
		}
		g, w := &got[i], &want[i]
		if !same(g.Key, w.Key) || !same(g.Value, w.Value) || g.Time != w.Time {
			return fmt.Errorf("record %d is %s, in the model %s", i, show(g), show(w))
		}
		if !bytes.Equal(g.Headers, w.Headers) {
			return fmt.Errorf("record %d, %s, has the headers %v, in the model %v", i, show(g), headersOf(g), headersOf(w))
		}
	}
	return nil
}

func headersOf(r *core.RawRecord) (all []string) {
	for k, v := range core.HeadersOf(r.Headers).All() {
		all = append(all, k+": "+v)
	}
	return all
}

// plainRows compares the rows of tables, as their codecs read them, with those of the model.
func plainRows(w *world) error {
	if w.check.plain == nil {
		return nil
	}
	for _, id := range w.check.ids() {
		s := w.check.tasks[id]
		t := w.check.plain.task(w.kafka, s)
		for i, spec := range s.sub.Tables {
			rows, ok := t.Rows(spec.Name)
			if !ok {
				continue
			}
			got, err := decoded(spec, s.tables[i])
			if err == nil && !maps.Equal(got, rows) {
				err = fmt.Errorf("the rows are %v, in the model %v", got, rows)
			}
			if err != nil {
				return fmt.Errorf("task %v, table %s: %w", id, spec.Name, err)
			}
		}
	}
	return nil
}

// decoded are a table's rows, as the model has them.
func decoded(spec topology.TableSpec, t *shadowTable) (map[plain.Key]plain.Row, error) {
	text, key := func(v string) string { return v }, func(k string) plain.Key { return plain.Key{Key: k} }
	if kc, vc, err := topology.TableCodecs[string, string](spec); err == nil {
		return decode(kc, vc, t, key, text)
	}
	if kc, vc, err := topology.TableCodecs[topology.Windowed[string], string](spec); err == nil {
		return decode(kc, vc, t, func(w topology.Windowed[string]) plain.Key { return plain.Key{Key: w.Key, Start: w.Start, End: w.End} }, text)
	}
	kc, vc, err := topology.TableCodecs[string, int64](spec)
	if err != nil {
		return nil, err
	}
	return decode(kc, vc, t, key, func(n int64) string { return fmt.Sprint(n) })
}

func decode[K, V any](kc topology.Codec[K], vc topology.Codec[V], t *shadowTable, key func(K) plain.Key, text func(V) string) (map[plain.Key]plain.Row, error) {
	rows := map[plain.Key]plain.Row{}
	for k, r := range t.rows {
		row, err := kc.Decode([]byte(k))
		if err != nil {
			return nil, err
		}
		v, err := vc.Decode(r.value)
		if err != nil {
			return nil, err
		}
		rows[key(row)] = plain.Row{Value: text(v), Time: r.at}
	}
	return rows, nil
}
