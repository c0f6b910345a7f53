package plain

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

// Times says which times the records of a source have; the zero Times are their own.
type Times struct {
	From    func(r topology.Record[string, string]) Time
	Arrival bool
}

// Source is the stream of a topic: null values are dropped.
func (p *Topology) Source(topic string, times Times) Stream {
	out := p.stream()
	p.add(func(t *Task) {
		t.sources[topic] = func(in In) {
			if in.Value == nil {
				return
			}
			r := record(in)
			if times.From != nil {
				r.Time = times.From(topology.Record[string, string]{Key: r.Key.Key, Value: r.Value, Time: r.Time, Headers: r.Headers})
			}
			if times.Arrival {
				r.Time = in.Arrived
			}
			t.pass(out, r)
		}
	})
	return out
}

func record(in In) Record {
	return Record{Key{Key: string(in.Key), Null: in.Key == nil}, string(in.Value), in.Time, in.Headers}
}

// TableSource is the table of a topic: the latest record by offset counts, and null deletes.
func (p *Topology) TableSource(topic string) Table {
	out := p.table()
	p.add(func(t *Task) {
		rows := t.kept(out, topic)
		t.sources[topic] = func(in In) {
			if in.Key != nil {
				rows.set(Key{Key: string(in.Key)}, Opt{Value: string(in.Value), OK: in.Value != nil}, in.Time, in.Headers)
			}
		}
	})
	return out
}

// Route says where a record goes; the zero Route is the partition of its key.
type Route struct {
	Topic     func(value string) string
	Partition func(value string, n int) int
}

// To writes a stream to a topic.
func (p *Topology) To(in Stream, topic string, by Route) {
	p.add(func(t *Task) {
		t.hear(in, func(r Record) {
			to := topic
			if by.Topic != nil {
				to = by.Topic(r.Value)
			}
			w := t.written(to, r)
			if by.Partition != nil {
				w.Partition = int32(by.Partition(r.Value, int(t.Partitions(to))))
			}
			if t.topology.stamped {
				w.Headers = t.stamp(to, r.Time, r.Headers)
			}
			t.out = append(t.out, w)
		})
	})
}

// send writes a record to the topic of an operator's own.
func (t *Task) send(name string, r Record) {
	w := t.written(t.App+"-"+name+"-repartition", r)
	if t.topology.stamped {
		w.Headers = t.stampInternal(r.Time, r.Headers)
	}
	t.out = append(t.out, w)
}

// written is a record as it is written: to the partition of its key, or of the task where it has none.
func (t *Task) written(topic string, r Record) Out {
	w := Out{Topic: topic, Value: []byte(r.Value), Time: r.Time, Headers: r.Headers}
	if n := t.Partitions(topic); r.Key.Null {
		w.Partition = t.Partition % n
	} else {
		w.Key = []byte(r.Key.Key)
		w.Partition = partitionOf(w.Key, n)
	}
	return w
}

// partitionOf is the partition that Kafka's own producers choose: murmur2, as org.apache.kafka.common.utils.Utils has it.
func partitionOf(key []byte, n int32) int32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(key))
	at := func(i int) uint32 { return uint32(key[i]) }
	i := 0
	for ; i+4 <= len(key); i += 4 {
		k := (at(i) | at(i+1)<<8 | at(i+2)<<16 | at(i+3)<<24) * m
		h = h*m ^ (k^k>>24)*m
	}
	if rest := len(key) - i; rest > 0 {
		if rest > 2 {
			h ^= at(i+2) << 16
		}
		if rest > 1 {
			h ^= at(i+1) << 8
		}
		h = (h ^ at(i)) * m
	}
	h = (h ^ h>>13) * m
	h ^= h >> 15
	return int32(h&0x7fffffff) % n
}

// Stamp lets all that is written have an envelope in its headers, as package envelope says.
func (p *Topology) Stamp() { p.stamped = true }

// id names the next thing that the input in hand leads to: application, operator, input, and how many came before it.
func (t *Task) id(operator string) string {
	id := fmt.Sprintf("%s/%s/%s/%d@%d/%d", t.App, operator, t.hand.topic, t.Partition, t.hand.offset, t.hand.ids)
	t.hand.ids++
	return id
}

// cause is the id of what led to a record with such headers, and what it is correlated with.
func (t *Task) cause(h topology.Headers) (id, correlation string) {
	if id, _ = h.Get("ce_id"); id == "" { // who wrote it knows nothing of envelopes
		id = fmt.Sprintf("%s/%d@%d", t.hand.topic, t.Partition, t.hand.offset)
	}
	correlation, _ = h.Get("ce_correlationid")
	return id, cmp.Or(correlation, id)
}

// stamp is an event's envelope: that of a string, which the operator (a sink, by its topic) makes of the input in hand.
func (t *Task) stamp(operator string, at Time, h topology.Headers) topology.Headers {
	id := t.id(operator)
	cause, correlation := t.cause(h)
	return envelope(h, id, "string", 1, t.App, at, correlation, cause)
}

// stampInternal is the envelope of what is on its way to another task: that which it has, or else its own input's.
func (t *Task) stampInternal(at Time, h topology.Headers) topology.Headers {
	t.hand.ids++
	if id, _ := h.Get("ce_id"); id != "" {
		return h
	}
	id, correlation := t.cause(h)
	causation, _ := h.Get("ce_causationid")
	return envelope(h, id, "", 0, "", at, correlation, causation)
}

// envelope has the fields behind all other headers; empty ones are left out.
func envelope(h topology.Headers, id, of string, version int, source string, at Time, correlation, causation string) topology.Headers {
	number := ""
	if version != 0 {
		number = strconv.Itoa(version)
	}
	fields := [][2]string{
		{"ce_specversion", "1.0"},
		{"ce_id", id},
		{"ce_type", of},
		{"ce_eventversion", number},
		{"ce_source", source},
		{"ce_time", time.UnixMilli(int64(at)).UTC().Format("2006-01-02T15:04:05.000Z07:00")},
		{"ce_correlationid", correlation},
		{"ce_causationid", causation},
	}
	var all topology.Headers
	for k, v := range h.All() {
		mine := false
		for _, f := range fields {
			mine = mine || f[0] == k
		}
		if !mine {
			all = all.With(k, v)
		}
	}
	for _, f := range fields {
		if f[1] != "" {
			all = all.With(f[0], f[1])
		}
	}
	return all
}
