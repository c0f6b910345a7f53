package topology

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The values that user functions see.
type (
	Record[K, V any] = core.Record[K, V]
	Time             = core.Time
	Headers          = core.Headers
	Codec[T any]     = core.Codec[T]
	// Opt is a value that may be missing.
	Opt[T any] = core.Opt[T]
	// Change is a row before and after; a deletion has no New, a first value no Old.
	Change[V any] = core.Change[V]
	// Reason is why a record went no further.
	Reason = core.Reason
)

// TimeOf is t in whole milliseconds; [core.Time.UTC] turns it back.
func TimeOf(t time.Time) Time { return core.TimeOf(t) }

// The reasons why a record goes no further.
const (
	NullKey   = core.NullKey
	NullValue = core.NullValue
	Unmatched = core.Unmatched
	Late      = core.Late
	NoWindow  = core.NoWindow
	Duplicate = core.Duplicate
	Throttled = core.Throttled
	Gap       = core.Gap
	// From here on: records that failed and were skipped, see OnError.
	InvalidTime = core.InvalidTime
	Undecodable = core.Undecodable
	Unencodable = core.Unencodable
	Rejected    = core.Rejected
	Panicked    = core.Panicked
	TooLarge    = core.TooLarge
	Misrouted   = core.Misrouted
)

// Some is a value that is there.
func Some[T any](v T) Opt[T] { return core.Some(v) }

// None is a value that is missing.
func None[T any]() Opt[T] { return core.None[T]() }

// Topic is the contract of a topic: its name and the codecs of keys and values.
// It is what services share; declare it as a package variable.
type Topic[K comparable, V any] struct {
	name string
	kc   core.Codec[K]
	vc   core.Codec[V]
	set  settings
}

// NewTopic declares a topic. Mistakes are reported by the Build of what uses it.
func NewTopic[K comparable, V any](name string, key Codec[K], value Codec[V], opts ...TopicOption) Topic[K, V] {
	return Topic[K, V]{name, key, value, apply(opts)}
}

// Name is the topic's name.
func (t Topic[K, V]) Name() string { return t.name }

// Codecs returns the codecs of keys and values.
func (t Topic[K, V]) Codecs() (Codec[K], Codec[V]) { return t.kc, t.vc }

// Partitions is the declared number of partitions; 0 where none was declared.
func (t Topic[K, V]) Partitions() int {
	if t.set.partitions == nil {
		return 0
	}
	return int(*t.set.partitions)
}

// topicUse is what a builder knows of a topic.
type topicUse struct {
	name               string
	key, value         codecInfo
	partitions         int32
	compacted, forever bool
	reading            reading // 0: it is not read
	source             *node   // that reads it
	handle             any     // that node's Stream, Table or GlobalTable
	sinks              []*node
}

// declaration is a Topic without its types.
type declaration struct {
	name       string
	key, value codecInfo
	partitions *int32
	compacted  bool
	forever    bool
}

func (t Topic[K, V]) declaration() declaration {
	return declaration{t.name, infoOf(t.kc), infoOf(t.vc), t.set.partitions, t.set.compacted, t.set.forever}
}

// use notes that n reads or writes a topic.
func (b *Builder) use(n *node, d declaration) *topicUse {
	n.topic, n.key, n.value = d.name, d.key, d.value
	var partitions int32
	if d.partitions != nil {
		partitions = *d.partitions
	}
	u, ok := b.topics[d.name]
	if !ok {
		u = &topicUse{name: d.name, key: d.key, value: d.value, partitions: partitions, compacted: d.compacted, forever: d.forever}
		b.topics[d.name] = u
		b.declared(n, d)
		return u
	}
	var differ string
	switch {
	case !u.key.same(n.key):
		differ = fmt.Sprintf("with keys as %s and as %s", u.key.schema, n.key.schema)
	case !u.value.same(n.value):
		differ = fmt.Sprintf("with values as %s and as %s", u.value.schema, n.value.schema)
	case u.partitions != partitions || u.compacted != d.compacted || u.forever != d.forever:
		differ = "with other options"
	default:
		return u
	}
	b.wrong(n, "topic %q is declared twice, %s: declare it once, as a variable that all share", d.name, differ)
	return u
}

// declared notes what is wrong with a declaration.
func (b *Builder) declared(n *node, d declaration) {
	if why := badTopicName(d.name); why != "" {
		b.wrong(n, "topic name %s", why)
	}
	for i, c := range []codecInfo{d.key, d.value} {
		if c.err != nil {
			b.wrong(n, "topic %q: its %s: %v", d.name, [2]string{"keys", "values"}[i], c.err)
		}
	}
	if d.partitions != nil && *d.partitions < 1 {
		b.wrong(n, "topic %q: Partitions(%d): a topic has one or more", d.name, *d.partitions)
	}
	if d.compacted && d.forever {
		b.wrong(n, "topic %q: Compacted and Forever exclude each other: a compacted topic does not keep every record", d.name)
	}
}

// reading is a way to read a topic, of which one topic has one.
type reading uint8

const (
	asStream reading = iota + 1
	asTable
	asGlobal
)

func (r reading) String() string { return [...]string{"", "stream", "table", "global table"}[r] }

// reader is the Stream, Table or GlobalTable that reads the topic so already: a topic is read
// once, however many handles are made of it.
func reader[H any](b *Builder, as reading, d declaration) (h H, ok bool) {
	if b == nil {
		zero("a source on a nil Builder, or")
	}
	if u := b.topics[d.name]; u != nil && u.reading == as {
		if h, ok = u.handle.(H); ok {
			b.use(u.source, d)
		}
	}
	return h, ok
}

// read adds the node that reads a topic. handle is made for it.
func (b *Builder) read(as reading, kind string, d declaration, set settings) *node {
	n := b.add(kind, d.name)
	u := b.use(n, d)
	b.configure(n, set)
	switch {
	case u.reading == 0:
		u.reading, u.source = as, n
	case u.reading == as: // of other types: use has said so
	case u.reading == asGlobal || as == asGlobal:
		b.wrong(n, "topic %q is read as a %v too: a topic is read once, as a stream, a table, or a global table", d.name, u.reading)
	default:
		b.wrong(n, "topic %q is read as a %v too: read it once, a stream of the table's changes is Changes(table)", d.name, u.reading)
	}
	return n
}

// handled keeps the handle of a node that reads a topic, for reader.
func (b *Builder) handled(n *node, handle any) {
	if u := b.topics[n.topic]; u.source == n {
		u.handle = handle
	}
}

// Stream reads the topic as a stream.
func (t Topic[K, V]) Stream(b *Builder, opts ...SourceOption) Stream[K, V] {
	d := t.declaration()
	if s, ok := reader[Stream[K, V]](b, asStream, d); ok {
		return s
	}
	set := apply(opts)
	n := b.read(asStream, "stream", d, set)
	n.through = true
	b.noTTL(n, set, "a stream has no rows")
	s := Stream[K, V]{b, n, t.kc, t.vc}
	b.handled(n, s)
	times := timesOf[K, V](b, n, set)
	n.source = func(c *compiler) { core.SourceAt(c.t, t.name, t.kc, t.vc, times, next[K, V](c, n)) }
	return s
}

// Table reads the topic as a table of the latest value of each key; it is named after the
// topic. A null value deletes.
func (t Topic[K, V]) Table(b *Builder, opts ...SourceOption) Table[K, V] {
	d := t.declaration()
	if tb, ok := reader[Table[K, V]](b, asTable, d); ok {
		return tb
	}
	set := apply(opts)
	n := b.read(asTable, "table", d, set)
	tb := newTable(b, n, t.kc, t.vc)
	b.handled(n, tb)
	times := timesOf[K, V](b, n, set)
	n.state.canonical = t.kc != nil && codec.IsCanonical(t.kc)
	n.state.other = set.ttl != nil || times.From != nil || times.Arrival
	old := expiring(b, n, set, func(c *compiler) core.Next[K, core.Change[V]] { return changes[K, V](c, n) })
	n.source = func(c *compiler) {
		if old != nil {
			old(c)
		}
		core.TableSourceAt(c.t, t.name, tableOf[K, V](c, n), times, changes[K, V](c, n))
	}
	return tb
}

// badTopicName says why a name cannot be a topic's, or "".
func badTopicName(name string) string {
	switch {
	case name == "":
		return `"": is empty`
	case name == "." || name == "..":
		return fmt.Sprintf("%q: is reserved by Kafka", name)
	case len(name) > maxTopicName:
		return fmt.Sprintf("%q: has %d characters, Kafka allows %d", name, len(name), maxTopicName)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-' {
			return fmt.Sprintf("%q: has %q, Kafka allows letters, digits, '.', '_' and '-'", name, r)
		}
	}
	return ""
}

const maxTopicName = 249
