package conformance_test

import (
	"maps"
	"slices"

	"github.com/seed-81380e12/limpet/core"
)

// valueFrom is a version of a row: its value, or nil where there is no row, and the time from which it is valid.
type valueFrom struct {
	value *string
	at    core.Time
}

// versionStore is a store of versions as a model has it.
type versionStore interface {
	// put says until when the version is valid: stillValid, or notPut where it came too late.
	put(key string, value *string, at core.Time) core.Time
	latest(key string) (valueFrom, bool)
	asOf(key string, at core.Time) (valueFrom, bool)
}

const (
	stillValid core.Time = -1
	notPut     core.Time = -2
)

// ksVersions is the store of Kafka Streams (4.3.1, RocksDBVersionedStore): the latest versions, which are never deletions, and
// segments of the others by the time until which they are valid. What it forgets is in here: a deletion at the very time of
// the latest version takes that one out and is written nowhere, and segments go as a whole.
type ksVersions struct {
	history, interval, now core.Time
	rows                   map[string]valueFrom
	segments               map[core.Time]map[string]*ksSegment
}

// ksSegment is what a segment has of a key: versions, the newest first, the last of which is valid to next. One with a
// single deletion whose time is next stands for a latest deletion with nothing before it.
type ksSegment struct {
	next core.Time
	list []valueFrom
}

func newKSVersions(history core.Time) *ksVersions {
	interval := max(history/24, 300_000)
	switch {
	case history <= 60_000:
		interval = max(history/3, 2_000)
	case history <= 300_000:
		interval = max(history/5, 20_000)
	case history <= 3600_000:
		interval = max(history/12, 60_000)
	}
	return &ksVersions{history: history, interval: interval, now: -1, rows: map[string]valueFrom{}, segments: map[core.Time]map[string]*ksSegment{}}
}

func (g *ksSegment) first() core.Time { return g.list[len(g.list)-1].at }

func (g *ksSegment) alone() bool { return g.first() == g.next }

// append adds a version behind the others.
func (g *ksSegment) append(v valueFrom, to core.Time) {
	if v.at < g.next { // of a write that was not finished, it thinks
		g.list = slices.DeleteFunc(g.list, func(o valueFrom) bool { return o.at >= v.at })
		if g.next = v.at; len(g.list) == 0 {
			g.list = []valueFrom{{nil, v.at}}
		}
	}
	if g.alone() {
		g.list = nil
	}
	if g.next != v.at {
		g.list = append([]valueFrom{{nil, g.next}}, g.list...)
	}
	g.list, g.next = append([]valueFrom{v}, g.list...), to
}

// find is the place of the version that is valid at a time.
func (g *ksSegment) find(at core.Time) int {
	return slices.IndexFunc(g.list, func(v valueFrom) bool { return v.at <= at })
}

// live is the segment of a time, or nil where it is past the history.
func (s *ksVersions) live(at core.Time) map[string]*ksSegment {
	id := at / s.interval
	if id < (s.now-s.history)/s.interval {
		return nil
	}
	if s.segments[id] == nil {
		s.segments[id] = map[string]*ksSegment{}
	}
	return s.segments[id]
}

// from are the segments from that of a time on, the newest first.
func (s *ksVersions) from(at core.Time) (list []map[string]*ksSegment) {
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(s.segments))) {
		if id >= at/s.interval {
			list = append(list, s.segments[id])
		}
	}
	return list
}

// move writes a version that is valid to a time where it belongs then.
func (s *ksVersions) move(key string, v valueFrom, to core.Time) {
	switch segment := s.live(to); {
	case segment == nil:
	case segment[key] == nil:
		segment[key] = &ksSegment{to, []valueFrom{v}}
	default:
		segment[key].append(v, to)
	}
}

func (s *ksVersions) put(key string, value *string, at core.Time) core.Time {
	if at < s.now-s.history {
		return notPut
	}
	s.now = max(s.now, at)
	maps.DeleteFunc(s.segments, func(id core.Time, _ map[string]*ksSegment) bool { return id < (s.now-s.history)/s.interval })
	v, to := valueFrom{value, at}, stillValid
	if last, ok := s.rows[key]; ok {
		if at >= last.at {
			if at > last.at {
				s.move(key, last, at)
			}
			if s.rows[key] = v; value == nil {
				delete(s.rows, key)
			}
			return stillValid
		}
		to = last.at
	}
	for _, segment := range s.from(at) {
		g := segment[key]
		if g == nil {
			continue
		}
		if g.next <= at {
			break
		}
		if g.first() <= at {
			return s.insert(key, g, at/s.interval == g.next/s.interval, v)
		}
		if g.first() < s.now-s.history {
			return notPut
		}
		to = g.first()
	}
	return s.finish(key, v, to)
}

// insert puts a version between those of a segment, and says until when it is valid. Where the one before it is valid to a
// time of another segment then, it goes there.
func (s *ksVersions) insert(key string, g *ksSegment, same bool, v valueFrom) core.Time {
	i, to := g.find(v.at), g.next
	if i > 0 {
		to = g.list[i-1].at
	}
	switch before := g.list[i]; {
	case before.at == v.at:
		g.list[i] = v
	case same:
		g.list = slices.Insert(g.list, i, v)
	default:
		s.move(key, before, v.at)
		g.list[i] = v
	}
	return to
}

// finish puts a version that lies between those of two segments, or is the latest one.
func (s *ksVersions) finish(key string, v valueFrom, to core.Time) core.Time {
	if to == stillValid && v.value != nil {
		s.rows[key] = v
		return to
	}
	valid := max(to, v.at) // a latest deletion has the segment of its own time
	segment := s.live(valid)
	if segment == nil {
		return notPut
	}
	g := segment[key]
	switch {
	case g == nil:
		segment[key] = &ksSegment{valid, []valueFrom{v}}
	case to == stillValid && g.next == v.at: // it is there
	case to == stillValid:
		g.append(valueFrom{nil, g.next}, v.at)
	case g.next <= v.at:
		g.append(v, to)
	case g.alone():
		g.list = []valueFrom{v}
	default:
		g.list = append(g.list, v)
	}
	return to
}

func (s *ksVersions) latest(key string) (valueFrom, bool) {
	v, ok := s.rows[key]
	return v, ok
}

func (s *ksVersions) asOf(key string, at core.Time) (v valueFrom, ok bool) {
	if v, ok = s.rows[key]; ok && v.at <= at {
		return v, true
	}
	if at < s.now-s.history {
		return v, false
	}
	for _, segment := range s.from(at) {
		g := segment[key]
		if g == nil || g.next > at && g.first() > at {
			continue
		}
		if g.next <= at {
			break
		}
		v = g.list[g.find(at)]
		return v, v.value != nil
	}
	return v, false
}
