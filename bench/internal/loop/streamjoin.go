package loop

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// window is how far apart two records may be to be a pair: in ms, both ends included.
const window = 60_000

// pairs are the records of a partition that may still find partners, of both sides.
type pairs struct {
	rows   [2]map[string][]row
	order  [2]queue
	latest [2]int64 // time
}

// row is a record that waits for partners; those of a key are in the order of their times.
type row struct {
	at    int64
	value []byte
}

func newPairs() *pairs {
	return &pairs{rows: [2]map[string][]row{{}, {}}}
}

// pair makes a pair with each partner of the record, and keeps it. Each input is in the order of
// its times in a partition; how far the one is ahead of the other does not matter.
func (l *loop) pair(r *kgo.Record) {
	side := 0
	if r.Topic == l.Right {
		side = 1
	}
	partition, at := r.Partition, r.Timestamp
	p, ms := l.pairs[partition], at.UnixMilli()
	// Copies, since a piece of a fetch keeps all of it in memory; its record is used again.
	key, value := l.value(len(r.Key)), l.value(1+len(r.Value))
	value[0] = byte(side)
	copy(key, r.Key)
	copy(value[1:], r.Value)
	r.Recycle()
	for _, o := range p.rows[1-side][string(key)] {
		if o.at < ms-window || o.at > ms+window {
			continue
		}
		var both [2][]byte
		both[side], both[1-side] = value[1:], o.value
		out := l.records.Get().(*kgo.Record)
		*out = kgo.Record{Topic: l.Out, Partition: partition, Key: key, Value: l.value(8), Timestamp: time.UnixMilli(max(ms, o.at))}
		copy(out.Value[:4], both[0])
		copy(out.Value[4:], both[1])
		l.cl.Produce(l.ctx, out, l.logged)
	}
	p.keep(side, key, row{ms, value[1:]})
	p.expire()
	change := l.records.Get().(*kgo.Record)
	*change = kgo.Record{Topic: l.changelog, Partition: partition, Key: key, Value: value, Timestamp: at}
	l.cl.Produce(l.ctx, change, l.logged)
}

// kept takes a record of the changelog.
func (p *pairs) kept(r *kgo.Record) error {
	if len(r.Value) == 0 || r.Value[0] > 1 {
		return fmt.Errorf("loop: %x is no row of a side", r.Value)
	}
	p.keep(int(r.Value[0]), r.Key, row{r.Timestamp.UnixMilli(), r.Value[1:]})
	p.expire()
	return nil
}

func (p *pairs) keep(side int, key []byte, r row) {
	k := string(key)
	p.rows[side][k] = append(p.rows[side][k], r)
	p.order[side].push(waiting{r.at, k})
	p.latest[side] = max(p.latest[side], r.at)
}

// expire drops what finds no partners any more: the other side is past it by more than the window.
func (p *pairs) expire() {
	for side := range p.rows {
		for q := &p.order[side]; q.n() > 0 && q.first().at < p.latest[1-side]-window; q.pop() {
			key := q.first().key
			if rows := p.rows[side][key]; len(rows) > 1 {
				p.rows[side][key] = rows[1:]
			} else {
				delete(p.rows[side], key)
			}
		}
	}
}

// waiting is a row's time and key.
type waiting struct {
	at  int64
	key string
}

// queue is first in, first out.
type queue struct {
	all  []waiting
	gone int
}

func (q *queue) n() int         { return len(q.all) - q.gone }
func (q *queue) first() waiting { return q.all[q.gone] }
func (q *queue) push(w waiting) { q.all = append(q.all, w) }

func (q *queue) pop() {
	if q.gone++; q.gone > 1024 && 2*q.gone > len(q.all) {
		q.all, q.gone = append(q.all[:0], q.all[q.gone:]...), 0
	}
}
