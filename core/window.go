package core

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Windowed is a key in a window of time: the key of windowed aggregates. Time windows hold
// [Start, End), sliding windows and sessions [Start, End].
type Windowed[K comparable] struct {
	Key        K
	Start, End Time
}

func (w Windowed[K]) String() string { return fmt.Sprintf("%v@%d..%d", w.Key, w.Start, w.End) }

// Window says which windows a record falls into, and how long they stay open.
type Window struct {
	Kind WindowKind
	// Size is that of time windows; of sliding windows the greatest difference between two
	// records, and of sessions the greatest gap.
	Size    Time
	Advance Time // of time windows: from one start to the next; not above Size
	Start   Time // of the unlimited window
	Grace   Time // how long windows take late records
	Retain  Time // how long rows stay, from their start (sessions: end); at least as long as they may change
	OnClose bool // one result for each window, when it has closed
}

// WindowKind is the kind of a Window.
type WindowKind uint8

// The kinds.
const (
	TimeWindow WindowKind = iota
	SlidingWindow
	SessionWindow
	UnlimitedWindow
)

// Ms is d in the unit of Time.
func Ms(d time.Duration) Time { return Time(d / time.Millisecond) }

// base is the time by which windows close and expire.
func (w *Window) base(start, end Time) Time {
	if w.Kind == SessionWindow {
		return end
	}
	return start
}

// closed is the greatest base of the windows that take no more records, at an operator's
// time. The ends of sliding windows and sessions belong to them.
func (w *Window) closed(at Time) Time {
	if w.Kind == TimeWindow && planted("windows close a millisecond late") {
		at--
	}
	switch w.Kind {
	case TimeWindow:
		return at - w.Grace - w.Size
	case UnlimitedWindow:
		return NoTime
	case SessionWindow:
		return at - w.Grace - w.Size - 1
	}
	return at - w.Grace - w.Size - 1
}

// expired is the greatest base of the windows whose rows are of no use any more. Time
// windows stay until the newest one is so far that Kafka Streams' store would hide them,
// which is when they have closed or a bit later, sessions until they have closed. Sliding
// windows tell what is in windows beside them, for as long as those may change.
func (w *Window) expired(at Time) Time {
	switch w.Kind {
	case TimeWindow:
		return at/w.Advance*w.Advance - max(w.Retain, w.Grace+w.Size)
	case UnlimitedWindow:
		return NoTime
	case SessionWindow:
		return at - max(w.Retain, w.Grace+w.Size+1)
	}
	return at - max(w.Retain, w.Grace+3*w.Size+1)
}

// WindowKey is what the machine must know of a windowed key. It is a table's key type, of
// which only the operator that put records into windows knows that it is a Windowed.
type WindowKey[W comparable] struct {
	With func(k W, start, end Time) W
	Span func(W) (start, end Time)
}

// WindowKeyOf is that of Windowed[K].
func WindowKeyOf[K comparable]() WindowKey[Windowed[K]] {
	return WindowKey[Windowed[K]]{
		With: func(k Windowed[K], start, end Time) Windowed[K] { return Windowed[K]{k.Key, start, end} },
		Span: func(k Windowed[K]) (Time, Time) { return k.Start, k.End },
	}
}

// Windows is the state of a windowed aggregate: its rows, of which each input of a cogroup
// has the same, their clocks, and an index of the rows by time. As much of the index as a bound
// allows is in memory, made of the rows when the first record comes: after the start, and after
// an Abort.
type Windows[W comparable, A any] struct {
	Window
	n       NodeID
	tb      *Table[W, A]
	key     WindowKey[W]
	clocks  []*Clock // of each input, as Kafka Streams' cogroup has it
	merge   func(A, A) A
	done    func(A) bool
	update  Next[W, Change[A]] // nil: nobody wants it
	final   Next[W, Change[A]]
	indexed bool
	open    agenda[W, A] // with OnClose, and of sessions: rows that have not closed
	closed  agenda[W, A] // rows that will expire
	// stored is the latest start of the rows that the view may have and the overlay has not:
	// a row of a window that begins later is in the overlay or nowhere.
	stored Time
	recent recent[W] // of time windows: keys of rows that may be there
	newest Time      // the greatest base of the rows so far
	shut   Time      // rows with a base until then are in closed
	gone   Time      // and with one until then have expired
	// stale are deleted rows that are in open or closed still, and how often.
	stale map[W]int
	// spans are the rows of each key by start, of sliding windows and sessions, which look for
	// neighbours. The key has no times. nil: nobody looks.
	spans *byKey[W, span]
	near  []span // scratch
}

type span struct{ start, end Time }

// NewWindows makes the state of a windowed aggregate: n is its node and tb its table. merge
// makes one aggregate of those of two sessions; done, which may be nil, accepts those that
// are deleted. Changes go to next, which may be nil.
func NewWindows[W comparable, A any](n NodeID, tb *Table[W, A], key WindowKey[W], rule Window, merge func(A, A) A, done func(A) bool, next Next[W, Change[A]]) *Windows[W, A] {
	w := &Windows[W, A]{Window: rule, n: n, tb: tb, key: key, merge: merge, done: done, update: next}
	if rule.OnClose {
		w.update, w.final = nil, next
	}
	w.open, w.closed = newAgenda(tb, w.when, false), newAgenda(tb, w.when, false)
	w.open.forgot, w.closed.forgot = w.forget, w.forget
	if rule.OnClose || rule.Kind == SessionWindow {
		w.closed.until = func() Time { return w.shut } // the others are in open
	}
	if rule.Kind == SlidingWindow || rule.Kind == SessionWindow {
		w.spans = &byKey[W, span]{due: func(s span) Time { return w.base(s.start, s.end) }}
		bind(w.spans, tb, w.id, func(k W) span { start, end := key.Span(k); return span{start, end} }, w.bounds)
	}
	tb.short = true
	tb.aborted = func() { w.indexed = false }
	tb.evicted = w.evicted
	return w
}

func (w *Windows[W, A]) evicted(k W) {
	start, _ := w.key.Span(k)
	if w.stored = max(w.stored, start); w.Kind == TimeWindow && !w.recent.on {
		w.recent.begin(w.newest, w.tb.indexRows()*indexRow/recentShare)
	}
}

// when is order, as an agenda has it.
func (w *Windows[W, A]) when(k W, _ A, _ Time) (at, then Time) { return w.order(k) }

// order is that in which rows close and expire.
func (w *Windows[W, A]) order(k W) (at, then Time) {
	start, end := w.key.Span(k)
	if w.Kind == SessionWindow {
		return end, start
	}
	return start, 0
}

// id is the key with no times.
func (w *Windows[W, A]) id(k W) W { return w.key.With(k, 0, 0) }

// bounds are those of the rows of a key.
func (w *Windows[W, A]) bounds(id W, lo, hi []byte) (_, _ []byte, err error) {
	if lo, err = w.tb.kc.Append(lo, id); err == nil {
		last := timeBound(w.now())
		hi, err = w.tb.kc.Append(hi, w.key.With(id, last, last))
	}
	return lo, hi, err
}

// timeBound is a time behind those of all rows. With a narrow bound, keys that begin as
// another one does are not met when its rows are looked for.
func timeBound(now Time) Time {
	const far = 1 << 48 // thousands of years: of 8 bytes the first one is 0
	if now < far/2 {
		return far
	}
	return maxTime
}

// index makes the index of the committed rows. There are no others: it was forgotten when
// the task began, or when all others were dropped. Where they are many, it begins with none
// of them.
func (w *Windows[W, A]) index(tx *Tx) bool {
	if w.indexed {
		return true
	}
	w.open.clear()
	w.closed.clear()
	w.recent.end()
	w.stored, w.newest, w.gone = NoTime, NoTime, NoTime
	w.stale = map[W]int{}
	if w.indexed = w.Kind == UnlimitedWindow; w.indexed {
		w.stored = maxTime
		return true
	}
	if w.spans != nil {
		w.spans.clear(true)
	}
	closed := w.Window.closed(w.now())
	w.shut = closed
	few, ok := scanFew(tx, w.tb, w.tb.indexRows(), func(k W, _ []byte, _ Time) error {
		start, end := w.key.Span(k)
		w.stored = max(w.stored, start)
		w.created(k, start, end)
		return nil
	})
	if ok && !few {
		w.closed.onlyTable(0)
		if w.OnClose || w.Kind == SessionWindow {
			w.open.onlyTable(max(0, closed+1))
		}
		if w.spans != nil {
			w.spans.clear(false)
		}
		w.stored, ok = w.closed.last(tx)
		w.newest = w.stored
		if w.spans != nil {
			w.spans.last = w.stored
		}
	}
	if ok && w.Kind == TimeWindow && w.stored != NoTime {
		w.recent.begin(w.newest, w.tb.indexRows()*indexRow/recentShare)
	}
	w.indexed = ok
	return ok
}

// now is the greatest time of all inputs: windows close for good and rows expire by it.
func (w *Windows[W, A]) now() Time {
	at := w.clocks[0].at
	for _, c := range w.clocks[1:] {
		at = max(at, c.at)
	}
	return at
}

// timeOf is the time by which a record of an input is late: the input's own, but for results
// on close, which are final for all inputs.
func (w *Windows[W, A]) timeOf(input *Clock) Time {
	if w.OnClose {
		return w.now()
	}
	return input.at
}

// begin gets ready for a record and moves its input's clock. It reports false where the
// record or the task cannot go on.
func (w *Windows[W, A]) begin(tx *Tx, clock *Clock, at Time) bool {
	if tx.nullKey {
		tx.drop(w.n, NullKey)
		return false
	}
	if !w.index(tx) {
		return false
	}
	clock.move(at)
	return true
}

// late counts a record that entered no window and passes it on.
func late[W, V any](tx *Tx, n NodeID, r Record[W, V], to Next[W, V]) {
	tx.drop(n, Late)
	if to != nil {
		to(tx, r)
	}
}

// entry is that of a row in the index by time.
func (w *Windows[W, A]) entry(k W) (e dueKey[W]) {
	e.key = k
	e.at, e.then = w.order(k)
	return e
}

// agenda is the one that a row is in, or comes into.
func (w *Windows[W, A]) agenda(base Time) *agenda[W, A] {
	if (w.OnClose || w.Kind == SessionWindow) && base > w.shut {
		return &w.open
	}
	return &w.closed
}

// created puts a new row into the index. Its result was emitted already where it has closed.
func (w *Windows[W, A]) created(k W, start, end Time) {
	if w.Kind == UnlimitedWindow {
		return
	}
	e := w.entry(k)
	w.agenda(e.at).push(e)
	w.newest = max(w.newest, e.at)
	w.recent.add(k, e.at)
	if w.spans == nil {
		return
	}
	id := w.id(k)
	w.spans.made(id, e.at)
	list, _ := w.spans.known(id) // of its key, which a record has come for
	if i, found := findSpan(list, span{start, end}); !found {
		w.spans.insert(id, list, i, span{start, end})
	}
}

// removed takes a row out of the index of its key.
func (w *Windows[W, A]) removed(k W) {
	if w.spans == nil {
		return
	}
	id := w.id(k)
	list, _ := w.spans.known(id)
	start, end := w.key.Span(k)
	if i, ok := findSpan(list, span{start, end}); ok {
		w.spans.remove(id, list, i)
	}
}

// outlived notes that a row is in the index by time that was deleted before its time has come.
func (w *Windows[W, A]) outlived(k W) {
	if w.Kind == UnlimitedWindow {
		return
	}
	e := w.entry(k)
	if a := w.agenda(e.at); !a.far.some || a.near(&e) {
		w.stale[k]++
	}
}

// passed reports whether a row that its time has come for was deleted before.
func (w *Windows[W, A]) passed(k W) bool {
	n := w.stale[k]
	if n > 1 {
		w.stale[k] = n - 1
	} else if n == 1 {
		delete(w.stale, k)
	}
	return n > 0
}

// forget forgets the deleted rows that are not in the index by time any more.
func (w *Windows[W, A]) forget() {
	for k := range w.stale { //lint:sorted each is looked at by itself
		e := w.entry(k)
		if a := w.agenda(e.at); a.far.some && !a.near(&e) {
			delete(w.stale, k)
		}
	}
}

// since is the place of the first span of a list with a base of at least base.
func (w *Windows[W, A]) since(list []span, base Time) int {
	i, _ := slices.BinarySearchFunc(list, base, func(s span, base Time) int { return cmp.Compare(w.base(s.start, s.end), base) })
	return i
}

func findSpan(list []span, s span) (int, bool) {
	i := len(list)
	for i > 0 && (list[i-1].start > s.start || list[i-1].start == s.start && list[i-1].end >= s.end) {
		i-- // what is looked for is near the end
	}
	return i, i < len(list) && list[i] == s
}

// put writes the row of a window and passes the change on. It is for those who know the rows of
// the key: where there is one of that window, they have looked at it, and it is in the overlay.
func (w *Windows[W, A]) put(tx *Tx, k W, a A, at Time, h Headers) {
	if i := w.tb.findSince(tx, k, true); i >= 0 {
		w.putAt(tx, i, k, a, at, h)
	}
}

// putAt is put where the row has been found.
func (w *Windows[W, A]) putAt(tx *Tx, i int32, k W, a A, at Time, h Headers) {
	row := Some(a)
	if w.done != nil {
		tx.node = w.n
		row.OK = !w.done(a)
		tx.called(w.n)
	}
	w.set(tx, i, k, row, at, h)
}

func (w *Windows[W, A]) set(tx *Tx, i int32, k W, row Opt[A], at Time, h Headers) {
	was := w.tb.cells[i].ok
	switch {
	case row.OK && !was:
		start, end := w.key.Span(k)
		w.created(k, start, end)
	case !row.OK && was:
		w.removed(k)
		w.outlived(k)
	}
	set(tx, w.tb, i, row, Record[W, struct{}]{Key: k, Time: at, Headers: h}, w.update)
}

// end emits the results of the windows that have closed, and deletes the rows that have
// expired. A result at the close belongs to no single record: it has no headers.
func (w *Windows[W, A]) end(tx *Tx) {
	closed := w.Window.closed(w.now())
	for w.open.due(tx, closed) {
		e := w.open.pop()
		if w.passed(e.key) {
			continue // it was deleted, or merged into another one
		}
		w.closed.push(e)
		if w.final == nil {
			continue
		}
		i := w.tb.find(tx, e.key)
		if i < 0 {
			return
		}
		c := &w.tb.cells[i]
		if outer, ok := tx.letGo(); ok {
			w.final(tx, Record[W, Change[A]]{Key: e.key, Value: Change[A]{New: Some(c.val)}, Time: c.at})
			tx.within = outer
		} else {
			leaveOut(tx, w.n, w.tb, e.key, c.val, c.at, Headers{})
		}
		if tx.err != nil {
			return
		}
	}
	if tx.err != nil {
		return
	}
	w.shut = max(w.shut, closed)
	now := w.now()
	expired := w.Window.expired(now)
	for w.closed.due(tx, expired) {
		e := w.closed.pop()
		if w.passed(e.key) {
			continue
		}
		w.removed(e.key)
		w.tb.expire(tx, e.key, now)
	}
	if tx.err == nil {
		w.gone = max(w.gone, expired)
		if w.spans != nil {
			w.spans.gone = w.gone
		}
	}
}

// addTo folds a value into an aggregate, or begins one.
func addTo[V, A any](tx *Tx, n NodeID, old Opt[A], v V, first func(V) A, add func(A, V) A) A {
	tx.node = n
	var a A
	if !old.OK && first != nil {
		a = first(v)
	} else {
		a = add(old.Value, v)
	}
	tx.called(n)
	return a
}

// Windowing gives each record the key that windowed aggregates take: with its own time as
// start and end, until they know the window.
func Windowing[K comparable, V any](next Next[Windowed[K], V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		next(tx, Record[Windowed[K], V]{Windowed[K]{r.Key, r.Time, r.Time}, r.Value, r.Time, r.Headers})
	}
}

// Unwindowed undoes Windowing, for late records.
func Unwindowed[K comparable, V any](next Next[K, V]) Next[Windowed[K], V] {
	return func(tx *Tx, r Record[Windowed[K], V]) {
		next(tx, Record[K, V]{r.Key.Key, r.Value, r.Time, r.Headers})
	}
}

// AggregateWindows folds each value into the rows of the windows that the record falls
// into. n is the input's node and clock its time; first and add are as for Aggregate. A record
// that comes when all its windows have closed is counted as late and goes to late, which may
// be nil.
func AggregateWindows[W comparable, V, A any](n NodeID, w *Windows[W, A], clock *Clock, first func(V) A, add func(A, V) A, late Next[W, V]) Next[W, V] {
	w.clocks = append(w.clocks, clock)
	clock.onPass(w.index, w.end)
	switch w.Kind {
	case SlidingWindow:
		return (&sliding[W, V, A]{w, n, clock, first, add, late}).step
	case SessionWindow:
		return (&sessions[W, V, A]{w, n, clock, first, add, late}).step
	case UnlimitedWindow:
		return (&timeWindows[W, V, A]{w, n, clock, first, add, late}).unlimited
	}
	return (&timeWindows[W, V, A]{w, n, clock, first, add, late}).step
}
