package topology

import (
	"fmt"

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
	stream, table      *node
	global             *node
	sinks              []*node
	handle             any // the first Stream or Table of it
}

// use notes that n reads or writes the topic.
func (t Topic[K, V]) use(b *Builder, n *node) *topicUse {
	n.topic = t.name
	n.key, n.value = infoOf(t.kc), infoOf(t.vc)
	u, ok := b.topics[t.name]
	if !ok {
		u = &topicUse{name: t.name, key: n.key, value: n.value, partitions: int32(t.Partitions()), compacted: t.set.compacted, forever: t.set.forever}
		b.topics[t.name] = u
		t.check(b, n)
		return u
	}
	var differ string
	switch {
	case !u.key.same(n.key):
		differ = fmt.Sprintf("with keys as %s and as %s", u.key.schema, n.key.schema)
	case !u.value.same(n.value):
		differ = fmt.Sprintf("with values as %s and as %s", u.value.schema, n.value.schema)
	case u.partitions != int32(t.Partitions()) || u.compacted != t.set.compacted || u.forever != t.set.forever:
		differ = "with other options"
	default:
		return u
	}
	b.wrong(n, "topic %q is declared twice, %s: declare it once, as a variable that all share", t.name, differ)
	return u
}

// check notes what is wrong with the declaration.
func (t Topic[K, V]) check(b *Builder, n *node) {
	if why := badTopicName(t.name); why != "" {
		b.wrong(n, "topic name %s", why)
	}
	for i, c := range []codecInfo{n.key, n.value} {
		if c.err != nil {
			b.wrong(n, "topic %q: its %s: %v", t.name, [2]string{"keys", "values"}[i], c.err)
		}
	}
	if t.set.partitions != nil && *t.set.partitions < 1 {
		b.wrong(n, "topic %q: Partitions(%d): a topic has one or more", t.name, *t.set.partitions)
	}
	if t.set.compacted && t.set.forever {
		b.wrong(n, "topic %q: Compacted and Forever exclude each other: a compacted topic does not keep every record", t.name)
	}
}

// Stream reads the topic as a stream.
func (t Topic[K, V]) Stream(b *Builder, opts ...SourceOption) Stream[K, V] {
	if b == nil {
		zero("Stream on a nil Builder, or")
	}
	if u := b.topics[t.name]; u != nil && u.stream != nil {
		if s, ok := u.handle.(Stream[K, V]); ok {
			t.use(b, s.n)
			return s // a topic is read once, however many streams are made of it
		}
	}
	n := b.add("stream", t.name)
	n.through = true
	u := t.use(b, n)
	s := Stream[K, V]{b, n, t.kc, t.vc}
	set := apply(opts)
	b.configure(n, set)
	b.noTTL(n, set, "a stream has no rows")
	if u.global != nil {
		b.wrong(n, "topic %q is read as a global table too: a topic is read once", t.name)
	}
	if u.table != nil {
		b.wrong(n, "topic %q is read as a table too: read it once, a stream of the table's changes is Changes(table)", t.name)
	}
	if u.stream == nil && u.table == nil && u.global == nil {
		u.stream, u.handle = n, s
	}
	times := timesOf[K, V](b, n, set)
	n.source = func(c *compiler) { core.SourceAt(c.t, t.name, t.kc, t.vc, times, next[K, V](c, n)) }
	return s
}

// Table reads the topic as a table of the latest value of each key; it is named after the
// topic. A null value deletes.
func (t Topic[K, V]) Table(b *Builder, opts ...SourceOption) Table[K, V] {
	if b == nil {
		zero("Table on a nil Builder, or")
	}
	if u := b.topics[t.name]; u != nil && u.table != nil {
		if tb, ok := u.handle.(Table[K, V]); ok {
			t.use(b, tb.n)
			return tb
		}
	}
	n := b.add("table", t.name)
	u := t.use(b, n)
	set := apply(opts)
	b.configure(n, set)
	var tb Table[K, V]
	if set.history != nil {
		tb = newVersions(b, n, t.kc, t.vc, set)
	} else {
		tb = newTable(b, n, t.kc, t.vc)
	}
	if u.global != nil {
		b.wrong(n, "topic %q is read as a global table too: a topic is read once", t.name)
	}
	times := timesOf[K, V](b, n, set)
	if u.stream != nil {
		b.wrong(n, "topic %q is read as a stream too: read it once, a stream of the table's changes is Changes(table)", t.name)
	}
	if u.stream == nil && u.table == nil && u.global == nil {
		u.table, u.handle = n, tb
	}
	if set.history != nil { // its changelog has not what came too late
		if times.From != nil || times.Arrival {
			b.wrong(n, "a table of a topic with versions has the records' own times: read the topic as a stream with TimeFrom or WallTime, and make a table of it with ToTable")
		}
		n.source = func(c *compiler) { core.VersionsSource(c.t, t.name, versionsOf[K, V](c, n)) }
		return tb
	}
	// The topic does not have the rows' times where they are other ones.
	n.state.canonical = t.kc != nil && codec.IsCanonical(t.kc) && set.ttl == nil && times.From == nil && !times.Arrival
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
