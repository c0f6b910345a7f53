package sim

import (
	"cmp"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// kafka is the cluster.
type kafka struct {
	w        *world
	topics   map[string]*topic
	ids      map[string]*txnID
	offsets  map[shell.Partition]committedOffset
	deciding []*txn    // whose markers are being written
	late     []message // requests on their way, whose senders have given up
	group    *group
	down     core.Time // until then coordinators do not answer
	txns     int
}

type committedOffset struct {
	shell.GroupOffset
	ok bool
}

// message is a request that comes in late.
type message struct {
	at   core.Time
	what string
	do   func()
	// when says that it would be worst for it to come in: it waits for that until the time is over. nil: it comes in at any time.
	when  func() bool
	until core.Time
}

// due reports whether a message may come in.
func (m *message) due(now core.Time) bool {
	return now >= m.at && (m.when == nil || now >= m.until || m.when())
}

type topic struct {
	shell.Topic
	parts []*partition
	most  int // bytes that a record batch may have; 0: any
	made  int // how often it was made again
}

func (t *topic) compacted() bool { return t.Config["cleanup.policy"] == "compact" }

// partition is a log. It keeps all records that ever were, for the checks; start and gone
// say what the broker has deleted.
type partition struct {
	shell.Partition
	log   []entry // by offset
	start core.Offset
	open  []span // transactions without a marker here, by their first offset
	node  int    // that leads it
	// producers is what it knows of those that write to it; nil: of none.
	producers map[*txnID]*sequences
}

type span struct {
	txn   *txn
	first core.Offset
}

type entry struct {
	rec     core.RawRecord
	txn     *txn // nil: not in a transaction
	control bool
	gone    bool      // compacted away
	seen    core.Time // of a tombstone: when compaction first left nothing else of its key
}

// committed reports whether a reader with read_committed gets the record, once it may.
func (e *entry) committed() bool { return !e.control && (e.txn == nil || e.txn.state == txnCommitted) }

func (p *partition) end() core.Offset { return core.Offset(len(p.log)) }

// stable is the last stable offset.
func (p *partition) stable() core.Offset {
	if len(p.open) > 0 {
		return p.open[0].first
	}
	return p.end()
}

func (p *partition) append(r core.RawRecord, t *txn) {
	r.Offset = p.end()
	if t != nil && !slices.ContainsFunc(p.open, func(s span) bool { return s.txn == t }) {
		p.open = append(p.open, span{t, r.Offset})
	}
	p.log = append(p.log, entry{rec: r, txn: t})
}

func (p *partition) mark(t *txn) {
	p.open = slices.DeleteFunc(p.open, func(s span) bool { return s.txn == t })
	p.log = append(p.log, entry{rec: core.RawRecord{Offset: p.end()}, txn: t, control: true})
}

// read returns up to max records from an offset on, as read_committed does, where the
// next read goes on, and whether nothing more is known.
func (p *partition) read(from core.Offset, limit int) (rs []core.RawRecord, next core.Offset, caughtUp bool) {
	stable := p.stable()
	for next = max(from, p.start); next < stable && len(rs) < limit; next++ {
		if e := &p.log[next]; e.committed() && !e.gone {
			rs = append(rs, e.rec)
		}
	}
	for next < stable && (!p.log[next].committed() || p.log[next].gone) {
		next++ // the batch goes on over what is not shown
	}
	return rs, next, next >= stable
}

// compact leaves only the last committed record of each key below an offset, and drops
// tombstones that have been the last for longer than the topic keeps them. dropped says that there
// were such, changed that there was anything to do.
func (p *partition) compact(below, now core.Time, to core.Offset) (dropped, changed bool) {
	last := map[string]core.Offset{}
	to = min(to, p.stable())
	for o := p.start; o < to; o++ {
		if e := &p.log[o]; e.committed() && !e.gone && e.rec.Key != nil {
			last[string(e.rec.Key)] = o
		}
	}
	for o := p.start; o < to; o++ {
		e := &p.log[o]
		switch {
		case e.control || e.gone:
		case !e.committed() || e.rec.Key == nil || last[string(e.rec.Key)] != o:
			e.gone, changed = true, true
		case e.rec.Value == nil && e.seen == 0:
			e.seen = now
		case e.rec.Value == nil && e.seen < below:
			e.gone, dropped, changed = true, true, true
		}
	}
	return dropped, changed
}

func (k *kafka) part(p shell.Partition) *partition {
	t := k.topics[p.Topic]
	if t == nil || int(p.ID) >= len(t.parts) {
		return nil
	}
	return t.parts[p.ID]
}

func (k *kafka) create(t shell.Topic) *topic {
	if x := k.topics[t.Name]; x != nil {
		return x
	}
	x := &topic{Topic: t}
	cfg := map[string]string{"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "delete.retention.ms": "86400000"}
	for n, v := range t.Config {
		cfg[n] = v
	}
	x.Config = cfg
	for i := range t.Partitions {
		x.parts = append(x.parts, &partition{Partition: shell.Partition{Topic: t.Name, ID: i}, node: k.w.rng.IntN(k.w.set.nodes)})
	}
	k.topics[t.Name] = x
	return x
}

// sorted are all topics by name.
func (k *kafka) sorted() []*topic {
	var ts []*topic
	for _, t := range k.topics {
		ts = append(ts, t)
	}
	slices.SortFunc(ts, func(a, b *topic) int { return cmp.Compare(a.Name, b.Name) })
	return ts
}
