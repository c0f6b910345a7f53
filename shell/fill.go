package shell

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/statestore"
)

// A table that is read from a compacted topic is restored from that topic, or from a changelog of its
// own, and which of them may change with the topology: with a policy that may skip records, a TTL,
// other times. A changelog that is new is empty then, though the table was read long ago. So the
// table is restored from its topic once more, as it was before, and all of its rows are written to the
// changelog, in a transaction with the offsets where the task is, before it runs. Until that is
// committed each opening does so. Metadata of the offsets, and marks of the checkpoint, tell of which logs they are.

// At least once there is no transaction, so a changelog may have rows of a filling that was cut off. They are
// written anew, behind tombstones for those that the table does not have any more.

// filling is a table whose rows must be written to its changelog.
type filling struct {
	table core.TableID
	gone  [][]byte // keys that the changelog has, and the table has not
}

// gone notes the key of a row of a changelog, if the table has none.
func (r *restorer) gone(s *span, key []byte) error {
	if key == nil {
		return nil
	}
	_, _, ok, err := r.o.store.View(s.table).Get(key, nil)
	if err == nil && !ok {
		f := &r.o.fill[slices.IndexFunc(r.o.fill, func(f filling) bool { return f.table == s.table })]
		f.gone = append(f.gone, slices.Clone(key))
	}
	return err
}

// unknown finds the tables of whose changelogs the committed offsets do not tell, though they were read.
func (op *opener) unknown(o *opening, spans []span, at position, bounds map[Partition]Bounds) error {
	says := slices.ContainsFunc(at.all, func(m meta) bool { return len(m.ends) > 0 || len(m.topics) > 0 })
	tells := func(topic string) bool {
		return slices.ContainsFunc(at.all, func(m meta) bool { return m.tells(topic) })
	}
	for i := range spans {
		s, t := &spans[i], &o.sub.tables[i]
		if t.source >= 0 {
			if s.other = o.sub.plan.Tables[i].ChangelogTopic(op.cfg.AppID); tells(s.other) {
				return fmt.Errorf("%w %s: table %q had it when it was committed last, and it was not there when this process began: "+
					"start the process again; if the topic was deleted, stop all processes and reset the application", ErrTopic, s.other, o.sub.plan.Tables[i].Name)
			}
			continue
		}
		if t.read < 0 {
			continue
		}
		from := Partition{o.sub.sources[t.read].topic, o.id.Partition}
		if s.fresh = at.next[t.read] > bounds[from].Start && !tells(s.Topic) && !invariant.Bug("a changelog that is new is taken for the whole table"); s.fresh && says {
			s.stands = 0
		}
	}
	return nil
}

// of reports whether a checkpoint with such marks is of the span's log.
func (s *span) of(ms []statestore.TopicMark) bool {
	if len(ms) == 0 {
		return true // an earlier version wrote it
	}
	return marked(ms, s.Topic) && (s.other == "" || !marked(ms, s.other)) && (!s.fresh || s.stands < 0)
}

// without leaves out the marks of changelogs that are not known to have the rows: what is restored is of
// no checkpoint that could go on there.
func without(ms []statestore.TopicMark, spans []span) []statestore.TopicMark {
	return slices.DeleteFunc(slices.Clone(ms), func(m statestore.TopicMark) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return s.fresh && m.Name == logHash(s.Topic) })
	})
}

// origins restores tables whose changelogs turned out to be new from the topics that they are read from.
func (op *opener) origins(ctx context.Context, o *opening, spans []span, at position, bounds map[Partition]Bounds, looked time.Time) error {
	again := slices.Clone(spans)
	for i := range spans {
		s, t := &spans[i], &o.sub.tables[i]
		again[i].from = s.to
		if !s.fresh || s.rows > 0 || s.from > bounds[s.Partition].Start {
			continue
		}
		from := Partition{o.sub.sources[t.read].topic, o.id.Partition}
		why := ""
		switch {
		case !t.compacted && s.stands < 0:
			continue // the group's offsets are another tool's, and the topic forgets: it begins there
		case !t.compacted:
			why = "is not compacted, so its first ones are gone"
		case o.sub.plan.Tables[i].Origin < 0:
			why = "has them in another form (versions, or keys that its codec could write otherwise)"
		}
		if why != "" {
			return fmt.Errorf("%w %s: is the changelog of table %q and new, and %v was read up to %d: its rows cannot be had from there, since it %s. "+
				"Go back to the topology of before, or stop all processes and reset the application", ErrTopic, s.Topic, o.sub.plan.Tables[i].Name, from, at.next[t.read], why)
		}
		op.cfg.Logger.Info("a table has a changelog from now on, and is restored from the topic that it is read from",
			"task", o.id.String(), "table", o.sub.plan.Tables[i].Name, "topic", from.Topic)
		again[i] = span{Partition: from, table: s.table, from: bounds[from].Start, to: at.next[t.read], stands: -1, keeps: t.readRetention}
		o.fill = append(o.fill, filling{table: s.table})
	}
	if len(o.fill) == 0 {
		return nil
	}
	if err := op.restore(ctx, o, again, looked); err != nil {
		return err
	}
	for i := range spans {
		if s := &again[i]; spans[i].left {
			*s = spans[i]
			s.stands = -1
		} else {
			s.from = s.to
		}
	}
	return op.restore(ctx, o, again, looked)
}

// nextFill adds an opening that waits for its changelogs to a request: one at a time, since a transaction
// must not take too long.
func (w *worker) nextFill(r *request) {
	if len(w.fills) == 0 {
		return
	}
	o := w.fills[0]
	w.fills = w.fills[1:]
	c, err := o.core.Ready()
	if err != nil {
		o.discard()
		o.err = err
		w.opened(o)
		return
	}
	r.parts = append(r.parts, part{task: o.task, commit: c, ends: slices.Clone(o.point.Changelog), begins: o.begins, topics: o.point.Topics, fill: o})
}

// filled goes on with an opening whose changelogs were to be filled.
func (w *worker) filled(res result) {
	for _, p := range res.parts {
		o := p.fill
		switch {
		case o == nil:
			continue
		case res.outcome == committed:
			o.fill, o.point.Changelog = nil, p.ends
			if o.err = o.store.Apply(nil, o.point); o.err != nil {
				o.discard()
			} else {
				o.core.Advance()
				o.task.misses = 0
			}
		case res.outcome == failed:
			o.err = res.err
			o.discard()
		default:
			o.discard()
			if res.outcome != lost {
				o.task.misses++
			}
			if o.task.misses > missesMax {
				o.err = fmt.Errorf("the rows of a table could not be written to its new changelog in %d tries (if that takes longer than Kafka's transaction timeout, raise it): %w", missesMax, res.err)
			} else if o.task.state == taskOpening {
				w.startOpening(o.task)
				continue
			}
		}
		w.opened(o)
	}
}

// slow asks what else may be the reason where a request is fenced each time: who is too late for the
// transaction timeout is told the same as who is pushed aside.
func (r *request) slow() string {
	if slices.ContainsFunc(r.parts, func(p part) bool { return p.fill != nil }) {
		return ", or does it take longer than Kafka's transaction timeout (TransactionTimeout) to write the rows of a table to its new changelog"
	}
	return ""
}

// fillBytes is about how much of a table is sent to its changelog at once.
const fillBytes = 4 << 20

// fill writes the rows of tables whose changelogs are new. Nobody else uses their stores meanwhile.
func (c *committer) fill(ctx context.Context, r *request) (err error) {
	for _, p := range r.parts {
		if p.fill == nil {
			continue
		}
		id := p.commit.Task
		for _, f := range p.fill.fill {
			t := f.table
			like := &c.batches[id.Sub].logs[t][id.Partition]
			b := &ProduceBatch{Partition: like.Partition, MaxBytes: like.MaxBytes}
			size := 0
			send := func() bool {
				if err = c.prod.Produce(ctx, []*ProduceBatch{b}); err == nil && len(b.Records) > 0 {
					p.ends[t] = b.End
				}
				b.Records, size = b.Records[:0], 0
				return err == nil
			}
			add := func(rec core.RawRecord) bool {
				b.Records = append(b.Records, rec)
				size += len(rec.Key) + len(rec.Value)
				return size < fillBytes || send()
			}
			for _, key := range f.gone {
				if !add(core.RawRecord{Key: key, Time: p.fill.point.Wall}) {
					return err
				}
			}
			scan := p.fill.store.Scan(t, nil, nil, func(key, value []byte, at core.Time) bool {
				return add(core.RawRecord{Key: slices.Clone(key), Value: append([]byte{}, value...), Time: at})
			})
			if scan != nil {
				return scan
			}
			if err != nil || !send() {
				return err
			}
		}
	}
	return nil
}
