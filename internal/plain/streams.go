package plain

import (
	"slices"
	"strings"
)

// Between says when records of two streams are partners: the right one is From to To later than the left one. Unmatched ones wait
// for Grace beyond that.
type Between struct{ From, To, Grace Time }

// keep is how long each side keeps a record, by the times of that side.
func (b Between) keep() Time { return max(b.To-b.From+b.Grace, 1) }

// side is what one side of a join of streams keeps.
type side struct {
	all    []Record
	newest Time
}

func newSide() *side { return &side{newest: -1} }

func (s *side) put(r Record) {
	s.all = append(s.all, r)
	s.newest = max(s.newest, r.Time)
}

// partners are the records of a key that are there, with times from one to another, by time, then as they came.
func (s *side) partners(k Key, from, to, keep Time) (found []Record) {
	for _, r := range s.all {
		if r.Key == k && r.Time >= from && r.Time <= to && r.Time > s.newest-keep {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b Record) int { return int(a.Time - b.Time) })
	return found
}

// lonely is a record that found no partner yet.
type lonely struct {
	Record
	left bool
}

// Unmatched says which side's records come alone, if no partner comes.
type Unmatched struct{ Left, Right bool }

// JoinStreams passes on what f makes of each pair of partners, and of records that have none.
func (p *Topology) JoinStreams(left, right Stream, w Between, alone Unmatched, f func(a, b Opt) string) Stream {
	out := p.stream(left, right)
	p.add(func(t *Task) {
		sides := map[bool]*side{true: newSide(), false: newSide()}
		at := Time(-1)
		var waits []lonely
		pass := func(r Record, a, b Opt, at Time) { t.pass(out, Record{r.Key, f(a, b), at, r.Headers}) }
		single := func(r Record, isLeft bool) {
			if isLeft {
				pass(r, some(r.Value), Opt{}, r.Time)
			} else {
				pass(r, Opt{}, some(r.Value), r.Time)
			}
		}
		// window is where the partners of a record are.
		window := func(r Record, isLeft bool) (from, to Time) {
			if isLeft {
				return r.Time + w.From, r.Time + w.To
			}
			return r.Time - w.To, r.Time - w.From
		}
		// closed lets those come alone that can have no partner any more: by time, the right ones first, by key.
		closed := func() {
			var due []lonely
			waits = slices.DeleteFunc(waits, func(l lonely) bool {
				_, last := window(l.Record, l.left)
				over := last+w.Grace < at
				if over {
					due = append(due, l)
				}
				return over
			})
			slices.SortStableFunc(due, func(a, b lonely) int {
				switch {
				case a.Time != b.Time:
					return int(a.Time - b.Time)
				case a.left != b.left && b.left:
					return -1
				case a.left != b.left:
					return 1
				}
				return strings.Compare(a.Key.Key, b.Key.Key)
			})
			for _, l := range due {
				t.letGo(func() {
					l.Headers = none
					single(l.Record, l.left)
				})
			}
		}
		take := func(r Record, isLeft, mayBeAlone bool) {
			at = max(at, r.Time)
			if r.Key.Null {
				if mayBeAlone {
					single(r, isLeft)
				}
				return
			}
			sides[isLeft].put(r)
			if r.Time == at {
				closed()
			}
			from, to := window(r, isLeft)
			partners := sides[!isLeft].partners(r.Key, from, to, w.keep())
			for _, o := range partners {
				waits = slices.DeleteFunc(waits, func(l lonely) bool { return l.left != isLeft && l.Key == o.Key && l.Time == o.Time })
				a, b := r, o
				if !isLeft {
					a, b = o, r
				}
				pass(r, some(a.Value), some(b.Value), max(r.Time, o.Time))
			}
			switch {
			case len(partners) > 0 || !mayBeAlone:
			case to < at: // too late to wait
				single(r, isLeft)
			default:
				waits = append(waits, lonely{r, isLeft})
			}
		}
		t.hear(left, func(r Record) { take(r, true, alone.Left) })
		t.hear(right, func(r Record) { take(r, false, alone.Right) })
		t.onPass(func(to Time) {
			if at < to {
				at = to
				closed()
			}
		})
	})
	return out
}

// JoinSelf joins a stream with itself: each record comes as a left one first, then as a right one, and meets itself then.
func (p *Topology) JoinSelf(in Stream, w Between, f func(a, b string) string) Stream {
	out := p.stream(in)
	p.add(func(t *Task) {
		all := newSide()
		t.hear(in, func(r Record) {
			if r.Key.Null {
				return
			}
			for _, o := range all.partners(r.Key, r.Time+w.From, r.Time+w.To, w.keep()) {
				t.pass(out, Record{r.Key, f(r.Value, o.Value), max(r.Time, o.Time), r.Headers})
			}
			all.put(r)
			partners := all.partners(r.Key, r.Time-w.To, r.Time-w.From, w.keep())
			late := w.keep() > 1 && r.Time == all.newest-w.keep()+1 // so late that it does not meet itself
			for i, o := range partners {
				if last := i == len(partners)-1 || partners[i+1].Time > r.Time; late && o.Time == r.Time && last {
					continue
				}
				t.pass(out, Record{r.Key, f(o.Value, r.Value), max(r.Time, o.Time), r.Headers})
			}
		})
	})
	return out
}

func some(v string) Opt { return Opt{Value: v, OK: true} }
