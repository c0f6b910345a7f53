package topology

import (
	"math"
	"reflect"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// The families of options. Each operator says which it takes; one in the wrong place does
// not compile.
type (
	// Option is for any operator.
	Option interface {
		SourceOption
		StateOption
		JoinOption
		KeyOption
		SinkOption
		StreamJoinOption
		TableFilterOption
		forEveryOperator()
	}
	// TableFilterOption is for Table.Filter.
	TableFilterOption interface {
		setter
		forTableFilters()
	}
	// StateOption is for what keeps state: Process, processors, ToTable, aggregates; and for
	// joins of tables.
	StateOption interface {
		AggregateOption
		GroupOption
		ProcessorOption
		forState()
	}
	// ProcessorOption is for NewProcessor.
	ProcessorOption interface {
		setter
		forProcessors()
	}
	// StreamJoinOption is for JoinStreams, LeftJoinStreams and OuterJoinStreams.
	StreamJoinOption interface {
		setter
		forStreamJoins()
	}
	// TopicOption is for NewTopic.
	TopicOption interface {
		setter
		forTopics()
	}
	// SourceOption is for Topic.Stream and Topic.Table.
	SourceOption interface {
		setter
		forSources()
	}
	// KeyOption is for KeyBy, Repartition and groups of tables.
	KeyOption interface {
		GroupOption
		forKeys()
	}
	// GroupOption is for CountTable, ReduceTable and AggregateTable.
	GroupOption interface {
		setter
		forGroups()
	}
	// JoinOption is for Join and LeftJoin.
	JoinOption interface {
		setter
		forTableJoins()
	}
	// AggregateOption is for Count, Reduce and Aggregate.
	AggregateOption interface {
		setter
		forAggregates()
	}
	// SuppressOption is for Suppress.
	SuppressOption interface {
		setter
		forSuppress()
	}
	// BoundOption is for what holds records or changes back: Suppress, and joins with a table
	// in which records wait.
	BoundOption interface {
		SuppressOption
		JoinOption
	}
	// SinkOption is for To.
	SinkOption interface {
		setter
		forSinks()
	}
	// PartitionsOption is for topics, declared and internal ones.
	PartitionsOption interface {
		TopicOption
		KeyOption
	}
)

// setter is an option seen from inside.
type setter interface{ set(*settings) }

// settings is what options say; what is missing was not said.
type settings struct {
	name               string
	partitions         *int32
	compacted, forever bool
	keyCodec           *erased   // core.Codec[K]
	valueCodec         *erased   // core.Codec[V]
	stateCodec         *erased   // core.Codec[S]
	done               *erased   // func(S) bool
	also               []*erased // alsoInput[K, A]
	merging            *erased   // func(A, A) A
	onClose            bool
	everyDeletion      bool
	stored             bool
	retain             time.Duration
	maxRecords         *int
	maxBytes           *int
	early              bool
	grace, wait        *time.Duration
	ttl                *time.Duration
	maxTimers          *int
	policies           policies
	timeFrom           *erased // any: func(V) Time or func(Record[K, V]) Time
	wallTime           bool
	topicFrom          *erased // topicChoice[K, V]
	partitionBy        *erased // any: func(V, int) int or func(Record[K, V], int) int
}

func apply[O setter](opts []O) (s settings) {
	for _, o := range opts {
		if any(o) != nil {
			o.set(&s)
		}
	}
	return s
}

// An option is a function with the marks of its families.
type (
	anyOption        func(*settings)
	stateOption      func(*settings)
	keyOption        func(*settings)
	aggregateOption  func(*settings)
	suppressOption   func(*settings)
	joinOption       func(*settings)
	boundOption      func(*settings)
	filterOption     func(*settings)
	processorOption  func(*settings)
	topicOption      func(*settings)
	sourceOption     func(*settings)
	sinkOption       func(*settings)
	partitionsOption func(*settings)
)

func (o anyOption) set(s *settings)        { o(s) }
func (o stateOption) set(s *settings)      { o(s) }
func (o keyOption) set(s *settings)        { o(s) }
func (o aggregateOption) set(s *settings)  { o(s) }
func (o suppressOption) set(s *settings)   { o(s) }
func (o joinOption) set(s *settings)       { o(s) }
func (o boundOption) set(s *settings)      { o(s) }
func (o filterOption) set(s *settings)     { o(s) }
func (o processorOption) set(s *settings)  { o(s) }
func (o topicOption) set(s *settings)      { o(s) }
func (o sourceOption) set(s *settings)     { o(s) }
func (o sinkOption) set(s *settings)       { o(s) }
func (o partitionsOption) set(s *settings) { o(s) }

func (anyOption) forSources()          {}
func (anyOption) forState()            {}
func (anyOption) forProcessors()       {}
func (anyOption) forAggregates()       {}
func (anyOption) forTableJoins()       {}
func (anyOption) forKeys()             {}
func (anyOption) forGroups()           {}
func (anyOption) forStreamJoins()      {}
func (anyOption) forSinks()            {}
func (anyOption) forTableFilters()     {}
func (filterOption) forTableFilters()  {}
func (anyOption) forEveryOperator()    {}
func (stateOption) forState()          {}
func (stateOption) forProcessors()     {}
func (stateOption) forAggregates()     {}
func (stateOption) forGroups()         {}
func (keyOption) forKeys()             {}
func (keyOption) forGroups()           {}
func (topicOption) forTopics()         {}
func (sourceOption) forSources()       {}
func (sinkOption) forSinks()           {}
func (partitionsOption) forTopics()    {}
func (partitionsOption) forKeys()      {}
func (partitionsOption) forGroups()    {}
func (aggregateOption) forAggregates() {}
func (suppressOption) forSuppress()    {}
func (joinOption) forTableJoins()      {}
func (boundOption) forSuppress()       {}
func (boundOption) forTableJoins()     {}
func (processorOption) forProcessors() {}

// Named names a node that needs no name, for errors, pictures and metrics.
func Named(name string) Option { return anyOption(func(s *settings) { s.name = name }) }

// Partitions declares the number of partitions.
func Partitions(n int) PartitionsOption {
	p := int32(min(max(n, math.MinInt32), math.MaxInt32))
	return partitionsOption(func(s *settings) { s.partitions = &p })
}

// Compacted declares that a topic is compacted: it keeps the last record of each key for
// ever. A table that reads it needs no changelog of its own, unless a policy may skip its
// records or it has a TTL.
func Compacted() TopicOption { return topicOption(func(s *settings) { s.compacted = true }) }

// Forever declares that a topic is neither compacted nor expires, as an event store must.
// The start checks it.
func Forever() TopicOption { return topicOption(func(s *settings) { s.forever = true }) }

// KeyCodec is the codec of the new key, where its default is not wanted.
func KeyCodec[K comparable](c Codec[K]) KeyOption {
	return keyOption(func(s *settings) { s.keyCodec = erase[K]("KeyCodec", c, c == nil) })
}

// ValueCodec is the codec of the values in the topic between, where its default is not wanted: that of the
// stream or table, or by type where a function has made the values. State behind it takes it, too.
func ValueCodec[V any](c Codec[V]) KeyOption {
	return keyOption(func(s *settings) { s.valueCodec = erase[V]("ValueCodec", c, c == nil) })
}

// StateCodec is the codec of an operator's state, where its default is not wanted.
func StateCodec[S any](c Codec[S]) StateOption {
	return stateOption(func(s *settings) { s.stateCodec = erase[S]("StateCodec", c, c == nil) })
}

// DeleteWhen deletes a row when done accepts its new value. Nobody sees that value:
// downstream there is a deletion.
func DeleteWhen[S any](done func(S) bool) StateOption {
	return stateOption(func(s *settings) { s.done = erase[S]("DeleteWhen", done, done == nil) })
}

// EveryDeletion makes a filter of a table pass on a deletion for each change of a row that does
// not pass, also where it did not pass before: for those who may have rows from elsewhere, a
// topic that was written by another filter, say. The default is that nothing goes on then.
func EveryDeletion() TableFilterOption {
	return filterOption(func(s *settings) { s.everyDeletion = true })
}

// Stored keeps the rows of a join of tables, with a changelog, where they are otherwise made
// of both sides' rows whenever they are looked up: for a result that is looked up often, or
// from outside. A row then has the time of its last change, also of one that took a part of it
// away. What keeps state has a store anyway.
func Stored() StateOption { return stateOption(func(s *settings) { s.stored = true }) }

// erased is the argument of an option for a type T, which the option's family does not
// tell: so the operator checks it.
type erased struct {
	option string
	of     string // T
	v      any    // nil where the user gave nil
}

func erase[T any](option string, v any, isNil bool) *erased {
	if isNil {
		v = nil
	}
	return &erased{option, typeFor[T](), v}
}

// unerase returns what e holds, or otherwise where the option was not given.
func unerase[T, O any](b *Builder, n *node, e *erased, what string, otherwise O) O {
	if e == nil {
		return otherwise
	}
	if e.v == nil {
		b.wrong(n, "%s of nil", e.option)
		return otherwise
	}
	v, ok := e.v.(O)
	if !ok {
		b.wrong(n, "%s is for %s, but its %s is %s", e.option, e.of, what, typeFor[T]())
		return otherwise
	}
	return v
}

func keyCodecOf[K any](b *Builder, n *node, s settings, otherwise core.Codec[K]) core.Codec[K] {
	return unerase[K](b, n, s.keyCodec, "key", otherwise)
}

func valueCodecOf[V any](b *Builder, n *node, s settings, otherwise core.Codec[V]) core.Codec[V] {
	return unerase[V](b, n, s.valueCodec, "value", otherwise)
}

func stateCodecOf[S any](b *Builder, n *node, s settings, otherwise core.Codec[S]) core.Codec[S] {
	return unerase[S](b, n, s.stateCodec, "state", otherwise)
}

func doneOf[S any](b *Builder, n *node, s settings) func(S) bool {
	return unerase[S, func(S) bool](b, n, s.done, "state", nil)
}

func typeFor[T any]() string { return reflect.TypeFor[T]().String() }
