package shell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/statestore"
)

// request is one transaction: the sealed generations of a worker's tasks.
type request struct {
	parts []part
	// open asks for InitProducerId before anything else, also where there is nothing to
	// commit: after the membership was lost.
	open    bool
	began   time.Time
	wall    core.Time // the wall clock then
	records int64     // input that the request consumes
	// held ends when the membership is lost that the tasks are of. What is not sent by then
	// must not be sent: once the member has joined anew, and perhaps been given the same tasks
	// again, the broker would take it, though others have committed in between. nil: never.
	held context.Context
	drop context.CancelFunc // ends held
}

// part is one task's share of a request.
type part struct {
	task   *task
	commit *core.Commit
	ends   []core.Offset // by table: next changelog offset, before and after the commit
	begins []core.Offset // by table: its changelog's first offset when it was seen first
	topics []statestore.TopicMark
	fill   *opening // whose tables' rows go into the changelogs; nil: none's
}

// outcome is what became of a request, and what the worker has to do.
type outcome uint8

const (
	committed outcome = iota // apply and advance
	aborted                  // certainly not committed: abort the tasks and feed them again
	reopen                   // not known: open the tasks at the committed offsets
	lost                     // the tasks are somebody else's: drop them
	failed                   // stop
)

type result struct {
	*request
	outcome outcome
	err     error
}

// committer makes requests durable. It runs in the CommitSink.
type committer struct {
	layout *layout
	prod   Producer
	group  Group
	broker Broker
	atomic bool // exactly once

	batches []subBatches    // by sub-topology; kept from commit to commit for their memory
	used    []*ProduceBatch // of the request in hand, in order of first use
	offsets []GroupOffset

	fences  int // in a row
	purge   map[Partition]core.Offset
	read    map[Partition]core.Offset // of the request in hand; not committed yet
	purged  time.Time
	every   time.Duration // purgeEvery
	warning func(string, ...any)
}

// subBatches are what a sub-topology's tasks write: by sink or table, then partition.
type subBatches struct{ sinks, logs [][]ProduceBatch }

// fencesMax is how often in a row the producer may be fenced while the membership lives.
// Once or twice is a takeover that came late; more is another process with the same id.
const fencesMax = 5

// purgeEvery is how often records that were read are deleted from repartition topics,
// as often as Kafka Streams does.
const purgeEvery = 30 * time.Second

func newCommitter(l *layout, b Broker, p Producer, g Group, atomic bool, warn func(string, ...any)) *committer {
	c := &committer{layout: l, prod: p, group: g, broker: b, atomic: atomic, warning: warn, every: purgeEvery, purge: map[Partition]core.Offset{}, read: map[Partition]core.Offset{}}
	batches := func(topic string, partitions int32) []ProduceBatch {
		bs := make([]ProduceBatch, partitions)
		for p := range bs {
			bs[p].Partition = Partition{topic, int32(p)}
			bs[p].MaxBytes = l.limits.of(topic).batch
		}
		return bs
	}
	// A Producer takes each partition once: sub-topologies that write to one topic share its batches.
	shared := map[string][]ProduceBatch{}
	for _, sub := range l.subs {
		var sb subBatches
		for _, s := range sub.sinks {
			if shared[s.topic] == nil {
				shared[s.topic] = batches(s.topic, s.partitions)
			}
			sb.sinks = append(sb.sinks, shared[s.topic])
		}
		for _, t := range sub.tables {
			sb.logs = append(sb.logs, batches(t.topic, sub.partitions))
		}
		c.batches = append(c.batches, sb)
	}
	return c
}

// commit runs the request's transaction and says what became of it. Whatever the
// outcome but failed, the producer is ready for the next request.
func (c *committer) commit(ctx context.Context, r *request) result {
	if r.open {
		if err := c.prod.Open(ctx); err != nil {
			return result{r, failed, err}
		}
	}
	if len(r.parts) == 0 {
		return result{r, committed, nil}
	}
	held := r.held
	if held == nil {
		held = ctx
	}
	err := c.transact(held, r)
	if err != nil && held.Err() != nil && ctx.Err() == nil && !errors.Is(err, ErrInstanceFenced) {
		invariant.Sometimes("shell: a transaction ends with its membership")
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	if err == nil {
		c.fences = 0
		maps.Copy(c.purge, c.read)
		if invariant.Bug("more is purged than was read") {
			for p := range c.purge {
				c.purge[p] += 3
			}
		}
		c.purgeRead(ctx, r)
		return result{r, committed, nil}
	}
	return c.recover(ctx, r, err)
}

func (c *committer) transact(ctx context.Context, r *request) error {
	c.gather(r)
	if invariant.Bug("offsets are committed before the outputs") { // internal/chaos plants it, at least once
		c.consumed(r)
		if err := c.prod.SendOffsets(ctx, c.group, c.offsets); err != nil {
			return err
		}
		return c.prod.Produce(ctx, c.used)
	}
	if err := c.fill(ctx, r); err != nil {
		return err
	}
	if err := c.prod.Produce(ctx, c.used); err != nil {
		return err
	}
	if err := c.lostLog(r); err != nil {
		return err
	}
	c.consumed(r)
	if !invariant.Bug("a transaction has no offsets") {
		if err := c.prod.SendOffsets(ctx, c.group, c.offsets); err != nil {
			return err
		}
	}
	return c.prod.End(ctx)
}

// recover brings the producer to where it can begin anew.
func (c *committer) recover(ctx context.Context, r *request, err error) result {
	var out outcome
	var large *SizeError
	switch {
	case errors.Is(err, ErrLost):
		// Our transaction is still open, and its pending offsets would keep the next owner
		// from reading the committed ones.
		invariant.Sometimes("shell: the membership is lost within a transaction")
		out = lost
	case errors.Is(err, ErrAborted):
		if invariant.Bug("a transaction that fails is not ended") {
			return result{r, aborted, err}
		}
		if e := c.prod.Abort(ctx); e == nil {
			if invariant.Bug("an aborted transaction is taken for a committed one") {
				return result{r, committed, nil}
			}
			return result{r, aborted, err}
		}
		out = reopen
	case errors.Is(err, ErrUnknown):
		invariant.Sometimes("shell: the outcome of a transaction is not known")
		out = reopen
		if invariant.Bug("an unknown outcome is taken for an abort") {
			out = aborted
		}
		if invariant.Bug("an unknown outcome is taken for a commit") {
			out = committed
		}
	case errors.As(err, &large) && large.Records == 1 && c.layout.limits.lower(large.Topic, large.Bytes-1):
		out = reopen // the tasks know the limit then, and go by the policy for the record
	case errors.Is(err, ErrFenced):
		if c.fences++; c.fences > fencesMax {
			return result{r, failed, fmt.Errorf("%w, %d times in a row: is the same instance running twice%s? %w", ErrInstanceFenced, c.fences, r.slow(), err)}
		}
		invariant.Sometimes("shell: fenced")
		out = reopen
	default:
		_ = c.prod.Abort(ctx) // best effort: what we leave open is aborted by its timeout
		return result{r, failed, err}
	}
	if e := c.prod.Open(ctx); e != nil {
		return result{r, failed, fmt.Errorf("%w (after: %w)", e, err)}
	}
	return result{r, out, err}
}

// gather sorts outputs and changelog records of the request by partition.
func (c *committer) gather(r *request) {
	for _, b := range c.used {
		b.Records = b.Records[:0]
	}
	c.used = c.used[:0]
	for _, p := range r.parts {
		id := p.commit.Task
		to, tables := c.batches[id.Sub], c.layout.subs[id.Sub].tables
		for i := range p.commit.Outputs {
			o := &p.commit.Outputs[i]
			sink := to.sinks[o.Sink]
			c.put(&sink[o.Partition(id, int32(len(sink)))], core.RawRecord{Key: o.Key, Value: o.Value, Headers: o.Headers, Time: o.Time})
		}
		for i := range p.commit.Writes {
			w := &p.commit.Writes[i]
			if w.Value == nil && invariant.Bug("deletions are not in the changelog") {
				continue
			}
			if tables[w.Table].source < 0 { // else its source topic is its changelog
				if r, ok := w.Log(); ok {
					c.put(&to.logs[w.Table][id.Partition], r)
				}
			}
		}
	}
}

func (c *committer) put(b *ProduceBatch, r core.RawRecord) {
	if len(b.Records) == 0 {
		c.used = append(c.used, b)
	}
	b.Records = append(b.Records, r)
}

// lostLog looks whether a changelog began anew since the task's last commit, so that what
// was written now lies before where it ended. To go on would be to lose all rows before.
func (c *committer) lostLog(r *request) error {
	for _, p := range r.parts {
		id := p.commit.Task
		for t, table := range c.layout.subs[id.Sub].tables {
			if table.source >= 0 || invariant.Bug("a changelog that is made anew is written on") {
				continue
			}
			if b := &c.batches[id.Sub].logs[t][id.Partition]; len(b.Records) > 0 && b.End < p.ends[t]+core.Offset(len(b.Records)) {
				return fmt.Errorf("task %v: %w", id, &AnewError{b.Partition, p.ends[t], b.End})
			}
		}
	}
	return nil
}

// consumed works out the offsets that the request commits, and where the changelogs end.
func (c *committer) consumed(r *request) {
	if !invariant.Bug("offsets are sent once more with the next transaction") {
		c.offsets = c.offsets[:0]
	}
	clear(c.read)
	for _, p := range r.parts {
		sub, id := c.layout.subs[p.commit.Task.Sub], p.commit.Task
		for t := range sub.tables {
			if src := sub.tables[t].source; src >= 0 {
				p.ends[t] = p.commit.Next[src]
			} else if b := &c.batches[id.Sub].logs[t][id.Partition]; len(b.Records) > 0 {
				p.ends[t] = b.End
				if invariant.Bug("a commit says that its changelog ends one earlier") {
					p.ends[t]--
				}
			}
			if sub.tables[t].source < 0 && invariant.Bug("changelogs are purged as repartition topics are") {
				c.read[Partition{sub.tables[t].topic, id.Partition}] = p.ends[t]
			}
		}
		md := c.meta(sub, p).encode()
		for s, next := range p.commit.Next {
			if !sub.has(core.SourceID(s), id.Partition) {
				continue
			}
			if invariant.Bug("the last record of a commit comes again") {
				next = max(0, next-1)
			}
			o := GroupOffset{Partition: Partition{sub.sources[s].topic, id.Partition}, Next: next, Metadata: md}
			md = "" // once for each task

			c.offsets = append(c.offsets, o)
			if sub.sources[s].repartition {
				c.read[o.Partition] = next
			}
		}
	}
}

// meta is what the task's offsets carry. At least once, they do not say where the
// changelogs end: changelogs may be ahead of offsets. Where they began is handed on as it was at first: a task
// that has all rows commits on though its changelog has lost some, and none may be restored from it.
func (c *committer) meta(sub *subLayout, p part) meta {
	m := meta{times: p.commit.Times, topics: p.topics, begun: true}
	if len(sub.tables) > 0 {
		m.partitions = sub.count()
	}
	for t := range sub.tables {
		if sub.tables[t].source < 0 && c.atomic {
			m.ends = append(m.ends, logEnd{logHash(sub.tables[t].topic), p.ends[t]})
		}
		if sub.tables[t].source < 0 && p.begins[t] > 0 {
			m.begins = append(m.begins, logBegin{logHash(sub.tables[t].topic), p.begins[t]})
		}
	}
	return m
}

// purgeRead deletes what was committed as read from repartition topics, now and then.
// It costs nothing but disk if it fails.
func (c *committer) purgeRead(ctx context.Context, r *request) {
	if len(c.purge) == 0 || r.began.Sub(c.purged) < c.every {
		return
	}
	if !c.purged.IsZero() {
		if err := c.broker.DeleteRecords(ctx, c.purge); err != nil {
			c.warning("could not delete consumed records of repartition topics", "err", err)
		}
		clear(c.purge)
	}
	c.purged = r.began
}
