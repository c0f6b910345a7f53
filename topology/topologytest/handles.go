package topologytest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// TopicHandle sends to a topic and reads from it.
type TopicHandle[K comparable, V any] struct {
	d     *Driver
	topic *topic
	kc    topology.Codec[K]
	vc    topology.Codec[V]
}

// Topic opens a topic of the driver. What was read through one handle is read for all.
func Topic[K comparable, V any](d *Driver, t topology.Topic[K, V]) *TopicHandle[K, V] {
	d.t.Helper()
	tp := d.topics[t.Name()]
	if tp == nil {
		d.t.Fatalf("no topology reads or writes topic %q", t.Name())
	}
	h := &TopicHandle[K, V]{d: d, topic: tp}
	h.kc, h.vc = t.Codecs()
	return h
}

// Send sends a value at the driver's time.
func (h *TopicHandle[K, V]) Send(key K, value V) {
	h.d.t.Helper()
	h.SendAt(h.d.now, key, value)
}

// SendAt sends a value with a time of its own, which may be early or late.
func (h *TopicHandle[K, V]) SendAt(t core.Time, key K, value V) {
	h.d.t.Helper()
	h.SendRecord(core.Record[K, V]{Key: key, Value: value, Time: t})
}

// SendRecord sends a record with a time of its own and headers.
func (h *TopicHandle[K, V]) SendRecord(r core.Record[K, V]) {
	h.d.t.Helper()
	v, err := h.vc.Append([]byte{}, r.Value)
	if err != nil {
		h.d.t.Fatalf("topic %s: value: %v", h.topic.name, err)
	}
	h.send(core.RawRecord{Key: h.key(r.Key), Value: v, Time: r.Time, Headers: r.Headers.Raw()})
}

// SendRaw sends bytes at the driver's time, for what no codec would write; nil is null.
func (h *TopicHandle[K, V]) SendRaw(key, value []byte) {
	h.d.t.Helper()
	h.send(core.RawRecord{Key: slices.Clone(key), Value: slices.Clone(value), Time: h.d.now})
}

// SendRawAt is SendRaw with a time of its own.
func (h *TopicHandle[K, V]) SendRawAt(t core.Time, key, value []byte) {
	h.d.t.Helper()
	h.send(core.RawRecord{Key: slices.Clone(key), Value: slices.Clone(value), Time: t})
}

// Delete sends a tombstone.
func (h *TopicHandle[K, V]) Delete(key K) {
	h.d.t.Helper()
	h.send(core.RawRecord{Key: h.key(key), Time: h.d.now})
}

func (h *TopicHandle[K, V]) send(r core.RawRecord) {
	h.d.t.Helper()
	h.d.send(h.topic, r, h.partitionBytes(r.Key))
	h.d.now++
}

// partitionBytes are those that a key is partitioned by: all of it, unless its codec says otherwise.
func (h *TopicHandle[K, V]) partitionBytes(key []byte) []byte {
	if pc, ok := h.kc.(core.PartitionCodec[K]); ok && key != nil {
		if k, err := h.kc.Decode(key); err == nil {
			if b, err := pc.AppendPartition([]byte{}, k); err == nil {
				return b
			}
		}
	}
	return key
}

func (h *TopicHandle[K, V]) key(key K) []byte {
	h.d.t.Helper()
	k, err := h.kc.Append([]byte{}, key)
	if err != nil {
		h.d.t.Fatalf("topic %s: key: %v", h.topic.name, err)
	}
	return k
}

// Records is what topologies wrote since the last read; a tombstone has the zero value.
func (h *TopicHandle[K, V]) Records() []core.Record[K, V] {
	h.d.t.Helper()
	h.d.flush()
	var rs []core.Record[K, V]
	for _, e := range h.topic.log[h.topic.read:] {
		if e.sent {
			continue
		}
		raw := &h.topic.parts[e.part][e.at]
		r := core.Record[K, V]{Time: raw.Time, Headers: core.HeadersOf(raw.Headers)}
		var err error
		if raw.Key != nil {
			if r.Key, err = h.kc.Decode(raw.Key); err != nil {
				h.d.t.Fatalf("topic %s: key %q: %v", h.topic.name, raw.Key, err)
			}
		}
		if _, null := h.vc.(core.NullDecoder); raw.Value != nil || null {
			if r.Value, err = h.vc.Decode(raw.Value); err != nil {
				h.d.t.Fatalf("topic %s: value %q: %v", h.topic.name, raw.Value, err)
			}
		}
		rs = append(rs, r)
	}
	h.topic.read = len(h.topic.log)
	return rs
}

// Values is what topologies wrote since the last read.
func (h *TopicHandle[K, V]) Values() []V {
	h.d.t.Helper()
	var vs []V
	for _, r := range h.Records() {
		vs = append(vs, r.Value)
	}
	return vs
}

// ByKey is what topologies wrote since the last read, by key, each in order.
func (h *TopicHandle[K, V]) ByKey() map[K][]V {
	h.d.t.Helper()
	m := map[K][]V{}
	for _, r := range h.Records() {
		m[r.Key] = append(m[r.Key], r.Value)
	}
	return m
}

// Want fails the test unless topologies wrote exactly these values since the last read, in
// this order; where there are several partitions, in this order for each key. Keys and times
// are not looked at: see WantRecords.
func (h *TopicHandle[K, V]) Want(values ...V) {
	h.d.t.Helper()
	rs := h.Records()
	got := make([]V, len(rs))
	for i, r := range rs {
		got[i] = r.Value
	}
	if reflect.DeepEqual(got, values) || len(got) == 0 && len(values) == 0 {
		return
	}
	if len(h.topic.parts) > 1 && sameForEachKey(rs, values) {
		return
	}
	h.d.t.Errorf("topic %s: %d values, want %d:\n%s%s", h.topic.name, len(got), len(values), diff(got, values), h.d.stops())
}

// WantRecords is Want with keys and times: RecordOf makes what it takes. Headers are not
// looked at; Records returns them.
func (h *TopicHandle[K, V]) WantRecords(records ...core.Record[K, V]) {
	h.d.t.Helper()
	got := h.Records()
	for i := range got {
		got[i].Headers = core.Headers{}
	}
	want := slices.Clone(records)
	for i := range want {
		want[i].Headers = core.Headers{}
	}
	if reflect.DeepEqual(got, want) || len(got) == 0 && len(want) == 0 {
		return
	}
	if len(h.topic.parts) > 1 && reflect.DeepEqual(byKey(got), byKey(want)) {
		return
	}
	h.d.t.Errorf("topic %s: %d records, want %d:\n%s%s", h.topic.name, len(got), len(want), diff(got, want), h.d.stops())
}

func byKey[K comparable, V any](rs []core.Record[K, V]) map[K][]core.Record[K, V] {
	m := map[K][]core.Record[K, V]{}
	for _, r := range rs {
		m[r.Key] = append(m[r.Key], r)
	}
	return m
}

// WantNone fails the test if topologies wrote anything since the last read.
func (h *TopicHandle[K, V]) WantNone() {
	h.d.t.Helper()
	h.Want()
}

// sameForEachKey reports whether the values are those of the records, and the records of
// each key can be found in them in their order.
func sameForEachKey[K comparable, V any](rs []core.Record[K, V], values []V) bool {
	if len(rs) != len(values) {
		return false
	}
	rest := slices.Clone(values)
	next := map[K]int{} // by key: behind the last value found
	for _, r := range rs {
		i := slices.IndexFunc(rest, func(v V) bool { return reflect.DeepEqual(v, r.Value) })
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
		i = slices.IndexFunc(values[next[r.Key]:], func(v V) bool { return reflect.DeepEqual(v, r.Value) })
		if i < 0 {
			return false
		}
		next[r.Key] += i + 1
	}
	return true
}

// stops says which topologies have stopped: the likely reason why something is missing.
func (d *Driver) stops() string {
	var b strings.Builder
	for _, a := range d.apps {
		if a.stopped != nil {
			fmt.Fprintf(&b, "topology %s has stopped: %v\n", a.name(), a.stopped)
		}
	}
	return b.String()
}

// TableHandle reads a table.
type TableHandle[K comparable, V any] struct {
	d      *Driver
	name   string
	kc     topology.Codec[K]
	vc     topology.Codec[V]
	stores []*store // by partition
}

// Table opens a table by its name, over all partitions; a global table by that of its topic.
func Table[K comparable, V any](d *Driver, name string) *TableHandle[K, V] {
	d.t.Helper()
	var found *TableHandle[K, V]
	var names []string
	for _, a := range d.apps {
		if g := a.globalNamed(name); g != nil {
			kc, vc, err := topology.TableCodecs[K, V](g.spec.TableSpec())
			if err != nil {
				d.t.Fatal(err)
			}
			return &TableHandle[K, V]{d: d, name: name, kc: kc, vc: vc, stores: []*store{&g.store}}
		}
	}
	for _, u := range d.units {
		for i, spec := range u.sub.Tables {
			names = append(names, spec.Name)
			if spec.Name != name {
				continue
			}
			if found != nil {
				d.t.Fatalf("several topologies have a table %q", name)
			}
			found = &TableHandle[K, V]{d: d, name: name}
			var err error
			if found.kc, found.vc, err = topology.TableCodecs[K, V](spec); err != nil {
				d.t.Fatal(err)
			}
			for _, t := range u.tasks {
				found.stores = append(found.stores, t.stores[i])
			}
		}
	}
	if found == nil {
		slices.Sort(names)
		d.t.Fatalf("no table is named %q; there are: %s", name, strings.Join(names, ", "))
	}
	return found
}

// Get returns a row.
func (h *TableHandle[K, V]) Get(key K) (V, bool) {
	h.d.t.Helper()
	v, ok := h.Rows()[key]
	return v, ok
}

// Rows is the whole table.
func (h *TableHandle[K, V]) Rows() map[K]V {
	h.d.t.Helper()
	h.d.flush()
	rows := map[K]V{}
	for _, s := range h.stores {
		for key, r := range s.latest() {
			k, err := h.kc.Decode([]byte(key))
			if err != nil {
				h.d.t.Fatalf("table %s: key %q: %v", h.name, key, err)
			}
			if rows[k], err = h.vc.Decode(r.value); err != nil {
				h.d.t.Fatalf("table %s: row %v: %v", h.name, k, err)
			}
		}
	}
	return rows
}

// Want fails the test unless the table has exactly these rows.
func (h *TableHandle[K, V]) Want(rows map[K]V) {
	h.d.t.Helper()
	got := h.Rows()
	if len(got) == 0 && len(rows) == 0 || reflect.DeepEqual(got, rows) {
		return
	}
	h.d.t.Errorf("table %s: %d rows, want %d:\n%s%s", h.name, len(got), len(rows), diffRows(got, rows), h.d.stops())
}

// RecordOf makes a record for tests of functions behind Records.
func RecordOf[K, V any](t core.Time, key K, value V) core.Record[K, V] {
	return core.Record[K, V]{Key: key, Value: value, Time: t}
}

// Count is how many rows a table has, whatever they are: also one that an operator keeps
// for itself.
func Count(d *Driver, name string) int {
	d.t.Helper()
	return len(RawRows(d, name))
}

// RawRow is a committed row as a store has it.
type RawRow struct {
	Key, Value []byte
	At         core.Time
}

// RawRows are the committed rows of a table over all partitions, by key.
func RawRows(d *Driver, name string) (rows []RawRow) {
	d.t.Helper()
	d.flush()
	var stores []*store
	for _, a := range d.apps {
		if g := a.globalNamed(name); g != nil {
			stores = append(stores, &g.store)
		}
	}
	for _, u := range d.units {
		for i, spec := range u.sub.Tables {
			if spec.Name != name {
				continue
			}
			for _, t := range u.tasks {
				stores = append(stores, t.stores[i])
			}
		}
	}
	for _, s := range stores {
		for k, r := range s.rows {
			rows = append(rows, RawRow{[]byte(k), slices.Clone(r.value), r.at})
		}
	}
	if len(stores) == 0 {
		d.t.Fatalf("no table is named %q", name)
	}
	slices.SortFunc(rows, func(a, b RawRow) int { return bytes.Compare(a.Key, b.Key) })
	return rows
}
