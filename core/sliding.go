package core

// sliding are windows that hold what is at most Size apart: for each record one that ends
// with it, and one that begins right behind it, if it is not empty (KIP-450). So every set
// of records that are near enough to each other is in one window.
type sliding[W comparable, V, A any] struct {
	*Windows[W, A]
	node  NodeID
	clock *Clock // the input's time
	first func(V) A
	add   func(A, V) A
	late  Next[W, V]
}

// slide is what is found out on the way through the windows near a record.
type slide[A any] struct {
	limit    Time   // windows that end before it are closed
	prev     Time   // of the record before this one; NoTime: there is none
	left     Opt[A] // the window right before the record's own: what its own begins with
	right    Opt[A] // a window that goes on behind the record, without it
	rightAt  Time
	hasLeft  bool // the record's own window exists
	hasRight bool // the one behind it exists
	entered  bool
}

func (w *sliding[W, V, A]) step(tx *Tx, r Record[W, V]) {
	if !w.begin(tx, w.clock, r.Time) {
		return
	}
	s := slide[A]{limit: w.timeOf(w.clock) - w.Grace, prev: NoTime}
	if r.Time.plus(w.Size) < s.limit {
		late(tx, w.node, r, w.late)
		return
	}
	list, ok := w.spans.of(tx, w.id(r.Key))
	if !ok {
		return
	}
	w.near = w.near[:0]
	for i := w.since(list, r.Time-2*w.Size); i < len(list) && list[i].start-1 <= r.Time; i++ {
		w.near = append(w.near, list[i])
	}
	if r.Time < w.Size {
		w.early(tx, r, &s)
	} else {
		w.usual(tx, r, &s)
	}
	if tx.err != nil {
		return
	}
	if !s.entered {
		late(tx, w.node, r, w.late)
	}
	w.end(tx)
}

// usual takes the windows from late to early.
func (w *sliding[W, V, A]) usual(tx *Tx, r Record[W, V], s *slide[A]) {
	for n := len(w.near) - 1; n >= 0 && tx.err == nil; n-- {
		sp := w.near[n]
		if sp.start > r.Time {
			s.hasRight = true
			continue
		}
		old, at, ok := w.tb.Get(tx, w.key.With(r.Key, sp.start, sp.end))
		if !ok {
			continue
		}
		if sp.end < r.Time {
			s.left, s.prev = Some(old), at // the youngest that Kafka Streams would find
			break
		}
		w.enter(tx, sp, Some(old), at, r, s)
		if sp.end > r.Time {
			if !s.right.OK {
				s.right, s.rightAt = Some(old), at
			}
			continue
		}
		if s.hasLeft = true; at >= r.Time {
			return // a record of the same time has made all the windows
		}
		s.prev = at
	}
	if behind := s.prev + 1; s.prev != NoTime && behind.plus(w.Size) >= r.Time && !w.has(behind) {
		w.enter(tx, span{behind, behind.plus(w.Size)}, None[A](), r.Time, r, s)
	}
	if !s.hasLeft {
		base := s.left
		if s.prev == NoTime || s.prev < r.Time-w.Size {
			base = None[A]()
		}
		w.enter(tx, span{r.Time - w.Size, r.Time}, base, r.Time, r, s)
	}
	w.behind(tx, r, s)
}

// early is for a record whose own window would begin before 0: all of them are in [0, Size].
func (w *sliding[W, V, A]) early(tx *Tx, r Record[W, V], s *slide[A]) {
	zero, at0 := None[A](), r.Time
	for _, sp := range w.near {
		if sp.start > r.Time {
			s.hasRight = true
			continue
		}
		old, at, ok := w.tb.Get(tx, w.key.With(r.Key, sp.start, sp.end))
		switch {
		case !ok:
		case sp.start == 0:
			if zero, at0 = Some(old), at; at < r.Time {
				s.prev = at
			}
		default:
			s.right, s.rightAt = Some(old), at
			w.enter(tx, sp, Some(old), at, r, s)
		}
		if tx.err != nil {
			return
		}
	}
	if !s.right.OK && zero.OK && at0 > r.Time { // it holds only what is behind the record
		s.right, s.rightAt = zero, at0
	}
	w.behind(tx, r, s)
	if s.prev != NoTime && !w.has(s.prev+1) {
		w.enter(tx, span{s.prev + 1, s.prev + 1 + w.Size}, None[A](), r.Time, r, s)
	}
	w.enter(tx, span{0, w.Size}, zero, at0, r, s)
}

// behind makes the window that begins right behind the record, where there is something in
// it. The record is not.
func (w *sliding[W, V, A]) behind(tx *Tx, r Record[W, V], s *slide[A]) {
	if tx.err != nil || s.hasRight || !s.right.OK || s.rightAt <= r.Time {
		return
	}
	s.entered = true
	k := w.key.With(r.Key, r.Time+1, (r.Time + 1).plus(w.Size))
	w.put(tx, k, s.right.Value, s.rightAt, r.Headers)
}

// has reports whether one of the windows near the record begins at start.
func (w *sliding[W, V, A]) has(start Time) bool {
	for _, sp := range w.near {
		if sp.start == start {
			return true
		}
	}
	return false
}

// enter puts the record into a window that holds old, unless it has closed.
func (w *sliding[W, V, A]) enter(tx *Tx, sp span, old Opt[A], at Time, r Record[W, V], s *slide[A]) {
	if sp.end < s.limit || tx.err != nil {
		return
	}
	s.entered = true
	if old.OK {
		at = max(at, r.Time)
	} else {
		at = r.Time
	}
	a := addTo(tx, w.node, old, r.Value, w.first, w.add)
	w.put(tx, w.key.With(r.Key, sp.start, sp.end), a, at, r.Headers)
}
