package topology

import "github.com/seed-81380e12/limpet/core"

// TimeFrom takes the time of each record of a source from its value: f is a func(V) Time, or
// a func(Record[K, V]) Time that sees key, headers and the record's own time too. A negative
// time is an error, as a record's own is: see OnError.
func TimeFrom[T any](f func(T) Time) SourceOption {
	return sourceOption(func(s *settings) { s.timeFrom = erase[T]("TimeFrom", f, f == nil) })
}

// WallTime gives each record of a source the time at which it arrived, by the clock of the
// machine that processes it, in place of its own. A record that is run again, after an abort
// or a crash, arrives again: it may have another time then, and other effects. What was
// committed stays as it was.
func WallTime() SourceOption {
	return sourceOption(func(s *settings) { s.wallTime = true })
}

// timesOf is what the options of a source say about time.
func timesOf[K comparable, V any](b *Builder, n *node, s settings) core.Times[K, V] {
	times := core.Times[K, V]{Arrival: s.wallTime}
	if s.timeFrom == nil {
		return times
	}
	if s.wallTime {
		b.wrong(n, "TimeFrom and WallTime exclude each other")
	}
	switch f := s.timeFrom.v.(type) {
	case nil:
		b.wrong(n, "TimeFrom of nil")
	case func(V) Time:
		times.From = func(r Record[K, V]) Time { return f(r.Value) }
		n.funcs = append(n.funcs, funcName(f))
	case func(Record[K, V]) Time:
		times.From = f
		n.funcs = append(n.funcs, funcName(f))
	default:
		b.wrong(n, "TimeFrom is for %s, but its value is %s, and its record %s", s.timeFrom.of, typeFor[V](), typeFor[Record[K, V]]())
	}
	return times
}
