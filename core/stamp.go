package core

// Origin is where a record that is about to be written comes from: the record in hand, and
// the operator that writes it.
type Origin struct {
	App, Node string
	// ID is derived from the record in hand, application and operator: a replay makes the
	// same. See Out.ID.
	ID string
	// Topic, Partition and Offset are those of the record in hand. At a tick of the clock
	// Topic is "(tick)" and Offset the tick's time; where AdvanceIdle moves time on, they are
	// "(pass)" and that time.
	Topic     string
	Partition int32
	Offset    Offset
	Time      Time    // of what is written
	Headers   Headers // what would be written: those of the record in hand
	Value     any     // what is written; of a deletion the zero value
	// Internal says that it goes to a topic of the topology's own, on its way to another task.
	Internal bool
}

// Stamp gives each record the headers that f computes from where it comes from.
func Stamp[K, V any](n NodeID, internal bool, f func(Origin) Headers, next Next[K, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		r.Headers = tx.stamp(n, internal, f, r.Time, r.Headers, r.Value)
		next(tx, r)
	}
}

// StampChange is Stamp for the changes of a table.
func StampChange[K, V any](n NodeID, f func(Origin) Headers, next Next[K, Change[V]]) Next[K, Change[V]] {
	return func(tx *Tx, r Record[K, Change[V]]) {
		r.Headers = tx.stamp(n, false, f, r.Time, r.Headers, r.Value.New.Value)
		next(tx, r)
	}
}

func (tx *Tx) stamp(n NodeID, internal bool, f func(Origin) Headers, at Time, h Headers, v any) Headers {
	tx.node = n
	t := tx.t
	topic, offset := tx.input()
	h = f(Origin{
		App: t.cfg.App, Node: t.nodes[n].name, ID: tx.id(n),
		Topic: topic, Partition: t.cfg.ID.Partition, Offset: offset,
		Time: at, Headers: h, Value: v, Internal: internal,
	})
	tx.called(n)
	return h
}
