package core

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Version is the key of one version of a row: it is valid from At until the next one.
type Version[K comparable] struct {
	Key K
	At  Time
}

// VersionCodec writes the key and 8 bytes of time.
type VersionCodec[K comparable] struct{ Key Codec[K] }

const versionTail = 8

// Append implements Codec.
func (c VersionCodec[K]) Append(dst []byte, v Version[K]) ([]byte, error) {
	dst, err := c.Key.Append(dst, v.Key)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint64(dst, uint64(v.At)), nil
}

// DueOf implements DueCodec: versions replace those before them in the order of their times.
func (VersionCodec[K]) DueOf(key []byte) (at, then Time, ok bool) { return DueTail(key, 0) }

// Decode implements Codec.
func (c VersionCodec[K]) Decode(src []byte) (v Version[K], err error) {
	key, at, err := CutVersion(src)
	if err == nil {
		v.At = at
		v.Key, err = c.Key.Decode(key)
		err = MalformedPart(0, "key of a version", err)
	}
	return v, err
}

// CutVersion parts the stored key of a version into the row's key and the version's time.
func CutVersion(src []byte) (key []byte, at Time, err error) {
	n := len(src) - versionTail
	if n < 0 {
		return nil, 0, Malformed(len(src), "key of a version: %d bytes where %d or more were expected", len(src), versionTail)
	}
	return src[:n:n], Time(binary.BigEndian.Uint64(src[n:])), nil
}

// versionValue writes a byte that is 1 and the value, or, for a row that was deleted, a byte
// that is 0. In a changelog, which has a record for each version, there is the value alone, or
// null, as Kafka Streams has it.
type versionValue[V any] struct{ c Codec[V] }

func (c versionValue[V]) Append(dst []byte, v Opt[V]) ([]byte, error) {
	if !v.OK {
		return append(dst, 0), nil
	}
	b, err := c.c.Append(append(dst, 1), v.Value)
	if b == nil && err == nil {
		err = fmt.Errorf("its codec writes null, which deletes it")
	}
	return b, err
}

func (c versionValue[V]) Decode(src []byte) (v Opt[V], err error) {
	if len(src) == 0 || src[0] > 1 {
		return v, Malformed(0, "version of a row: neither there nor deleted: %q", src)
	}
	if v.OK = src[0] == 1; v.OK {
		v.Value, err = c.c.Decode(src[1:len(src):len(src)])
	}
	return v, MalformedPart(1, "version of a row", err)
}

// VersionWrite says what a Write is to a table that keeps versions.
type VersionWrite uint8

// The kinds.
const (
	NoVersion  VersionWrite = iota // the table keeps none
	OneVersion                     // one of several versions of a row
	LastWord                       // that there is no row any more, which need not be kept
)

// Log is the write as a record of the table's changelog. ok is false for a version that
// nobody can see any more: it is gone from the store, and the changelog is not told.
func (w *Write) Log() (r RawRecord, ok bool) {
	r = RawRecord{Key: w.Key, Value: w.Value, Time: w.Time}
	if w.Version == NoVersion {
		return r, true
	}
	r.Key = w.Key[:len(w.Key)-versionTail]
	switch {
	case w.Value == nil:
		// The changelog may not have been told, where it all was in one commit.
		return r, w.Version == LastWord
	case w.Value[0] == 0:
		r.Value = nil
	default:
		r.Value = w.Value[1:]
	}
	return r, true
}

// Restored is the write that a record of a changelog stands for.
func Restored(table TableID, versions bool, r *RawRecord) Write {
	w := Write{Table: table, Key: r.Key, Value: r.Value, Time: r.Time}
	if versions {
		w.Version = OneVersion
		w.Key = binary.BigEndian.AppendUint64(r.Key[:len(r.Key):len(r.Key)], uint64(r.Time))
		if w.Value = []byte{0}; r.Value != nil {
			w.Value = append([]byte{1}, r.Value...)
		}
	}
	return w
}

// Versions is a table that keeps the versions of its rows for some time: each is valid from
// its own time until the next one's. Its time is the greatest one that was put. What is more
// than the history behind that is not put any more, and not found, but for the latest version
// of a row, which stays.
type Versions[K comparable, V any] struct {
	tb      *Table[Version[K], Opt[V]]
	kc      Codec[K]
	vc      Codec[V]
	clock   *Clock
	history Time
	next    Next[K, Change[V]] // may be nil

	due     agenda[Version[K], Opt[V]] // the versions whose predecessors will go
	indexed bool
	// times are the versions of some rows by time: all of a row or none. They are read from
	// the table when they are asked for.
	times map[K][]Time
	held  int // about how many times that are
	spare [][]Time
	lo    []byte
	hi    []byte
	load  K
	list  []Time
	add   func(Version[K], Opt[V], Time) bool
}

// NewVersions adds the next table to t. Changes of the latest versions go to next.
func NewVersions[K comparable, V any](t *Task, name string, kc Codec[K], vc Codec[V], history Time) *Versions[K, V] {
	v := &Versions[K, V]{kc: kc, vc: vc, history: history, times: map[K][]Time{}}
	v.tb = NewTable[Version[K], Opt[V]](t, name, VersionCodec[K]{kc}, versionValue[V]{vc})
	v.tb.Ordered()
	v.tb.short, v.tb.versions = true, true
	v.tb.aborted = func() {
		v.indexed = false
		clear(v.times)
		v.held = 0
	}
	v.due = newAgenda(v.tb, func(k Version[K], _ Opt[V], _ Time) (Time, Time) { return k.At, 0 }, false)
	v.add = func(k Version[K], _ Opt[V], _ Time) bool {
		if k.Key == v.load {
			v.list = append(v.list, k.At)
		}
		return true
	}
	return v
}

// Connect says what the table's time is, and where changes go; next may be nil.
func (v *Versions[K, V]) Connect(clock *Clock, next Next[K, Change[V]]) {
	v.clock, v.next = clock, next
}

// of returns the times of a row's versions. It reports false when the task has failed.
func (v *Versions[K, V]) of(tx *Tx, k K) ([]Time, bool) {
	list, ok := v.times[k]
	if ok {
		return list, true
	}
	if !v.index(tx) {
		return nil, false
	}
	if v.held >= v.tb.indexRows() {
		clear(v.times)
		v.held = 0
	}
	var err error
	if v.lo, err = (VersionCodec[K]{v.kc}).Append(v.lo[:0], Version[K]{k, 0}); err == nil {
		// There are no later ones, and with a narrow bound keys that begin as this one does
		// are not met.
		v.hi, err = (VersionCodec[K]{v.kc}).Append(v.hi[:0], Version[K]{k, max(v.clock.at, 0)})
		v.hi = append(v.hi, 0)
	}
	if err != nil {
		tx.fail(v.tb.node, fmt.Errorf("%w: key %v: %w", ErrEncode, k, err))
		return nil, false
	}
	v.load, v.list = k, nil
	if n := len(v.spare); n > 0 {
		v.list, v.spare = v.spare[n-1][:0], v.spare[:n-1]
	}
	if !v.tb.Scan(tx, v.lo, v.hi, v.add) {
		return nil, false
	}
	v.times[k] = v.list
	v.held += len(v.list) + 1
	return v.list, true
}

// keep notes the times of a row's versions.
func (v *Versions[K, V]) keep(k K, list []Time) {
	if len(list) > 0 {
		v.times[k] = list
		return
	}
	delete(v.times, k)
	if len(v.spare) < 64 {
		v.spare = append(v.spare, list)
	}
}

// Find is the table's Lookup: the latest version, or, where a record is joined or a step asks,
// the one that is valid at a time.
func (v *Versions[K, V]) Find(tx *Tx, k K) (row V, at Time, ok bool) {
	list, ok := v.of(tx, k)
	if !ok || len(list) == 0 {
		return row, 0, false
	}
	i := len(list) - 1
	if tx.asOf > 0 && !planted("a join takes the latest version") {
		asOf := tx.asOf - 2
		for i >= 0 && list[i] > asOf {
			i--
		}
		if i < 0 || i < len(list)-1 && !planted("versions that are past the history are found") && asOf < v.clock.at-v.history {
			return row, 0, false
		}
	}
	o, at, ok := v.tb.Get(tx, Version[K]{k, list[i]})
	return o.Value, at, ok && o.OK
}

// put adds a version of a row, from the record r on. A change of the latest one goes
// downstream; one that came late does not, nor does one that came too late, which is counted.
func (v *Versions[K, V]) put(tx *Tx, row Opt[V], r Record[K, struct{}]) {
	if !v.index(tx) {
		return
	}
	if r.Time < v.clock.at-v.history {
		tx.drop(v.tb.node, Late)
		return
	}
	v.clock.move(r.Time)
	list, ok := v.of(tx, r.Key)
	if !ok {
		return
	}
	var old Opt[V]
	if n := len(list); n > 0 {
		if old, _, _ = v.tb.Get(tx, Version[K]{r.Key, list[n-1]}); tx.err != nil {
			return
		}
	}
	i := v.tb.find(tx, Version[K]{r.Key, r.Time})
	if i < 0 {
		return
	}
	v.tb.put(i, row, r.Time)
	at, found := slices.BinarySearch(list, r.Time)
	if !found {
		list = slices.Insert(list, at, r.Time)
		v.keep(r.Key, list)
		v.held++
	}
	if !found || r.Time <= v.clock.at-v.history { // its time may have come before, when there was a row
		v.due.push(dueKey[Version[K]]{at: r.Time, key: Version[K]{r.Key, r.Time}})
	}
	if at < len(list)-1 {
		// A compacted changelog keeps a key's last record. So that this is the latest
		// version, it follows those that came late.
		if last := v.tb.find(tx, Version[K]{r.Key, list[len(list)-1]}); last >= 0 && !planted("a late version is the last word of the changelog") {
			v.tb.again(last)
		}
	} else if v.next != nil {
		v.next(tx, Record[K, Change[V]]{r.Key, Change[V]{old, row}, r.Time, r.Headers})
	}
}

// expire deletes the versions that are not valid at any time that can still be asked for.
func (v *Versions[K, V]) expire(tx *Tx) {
	for tx.err == nil && v.due.due(tx, v.clock.at-v.history) {
		v.tidy(tx, v.due.pop().key)
	}
}

// tidy deletes the versions of a row before one which is past the history, and that one if
// it says that there is no row: which is so without it.
func (v *Versions[K, V]) tidy(tx *Tx, k Version[K]) {
	list, ok := v.of(tx, k.Key)
	if !ok {
		return
	}
	n, found := slices.BinarySearch(list, k.At)
	if !found {
		return
	}
	o, _, _ := v.tb.Get(tx, k)
	if !o.OK {
		n++
	}
	for _, at := range list[:n] {
		i := v.tb.find(tx, Version[K]{k.Key, at})
		if i < 0 {
			return
		}
		// The changelog was told of it, if it was committed as it is; then a younger version may be
		// the last record of the row, and must stay it.
		told := v.tb.cells[i].below && v.tb.cells[i].state&cellDirty == 0
		v.tb.delete(i, at)
		v.tb.cells[i].last = at == k.At && !told
	}
	v.keep(k.Key, slices.Delete(list, 0, n))
}

// index makes the order of the versions by time. Those that were past the history when the
// last commit was made have done their work, unless they were restored from a changelog,
// which still has what was deleted since.
func (v *Versions[K, V]) index(tx *Tx) bool {
	if v.indexed {
		return true
	}
	v.due.clear()
	limit := v.clock.at - v.history
	var old []Version[K]
	var before, resume Opt[Version[K]]
	var from []byte
	most := v.tb.indexRows()
	for more, first := true, true; more; first = false {
		more = false
		v.indexed = scanFrom(tx, v.tb, from, func(k Version[K], value []byte, _ Time) (bool, error) {
			if first {
				v.clock.move(k.At) // so it is, unless the committed times are lost
				if k.At > limit {
					v.due.push(dueKey[Version[K]]{at: k.At, key: k})
				}
			}
			if k.At <= limit && (before.OK && before.Value.Key == k.Key || len(value) == 1 && value[0] == 0) {
				switch {
				case len(old) < most:
					old = append(old, k)
				case !more: // than is held at hand
					more, resume, from = true, before, v.due.bytes(from[:0], k)
				}
			}
			before = Some(k)
			return first || !more, nil
		})
		if !v.indexed {
			return false
		}
		for _, k := range old {
			v.tidy(tx, k)
		}
		old, before = old[:0], resume
	}
	return tx.err == nil
}

// VersionsSource attaches a source whose records are the versions of v's rows: a null value
// says that there is no row from then on.
func VersionsSource[K comparable, V any](t *Task, topic string, v *Versions[K, V]) {
	n := t.Node(topic, "")
	t.addSource(topic, n, func(tx *Tx, raw *RawRecord) {
		tx.node = n
		if tx.nullKey = raw.Key == nil; tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		k, err := v.kc.Decode(raw.Key)
		if err != nil {
			tx.fail(n, fmt.Errorf("%w: key: %w", ErrDecode, err))
			return
		}
		var row Opt[V]
		if row.OK = raw.Value != nil; row.OK {
			if row.Value, err = v.vc.Decode(raw.Value); err != nil {
				tx.fail(n, fmt.Errorf("%w: value: %w", ErrDecode, err))
				return
			}
		}
		if v.put(tx, row, Record[K, struct{}]{Key: k, Time: raw.Time, Headers: HeadersOf(raw.Headers)}); tx.err == nil {
			v.expire(tx)
		}
	})
}

// ToVersions keeps the versions of each key's value. A value that done accepts says that
// there is no row from then on (done may be nil).
func ToVersions[K comparable, V any](n NodeID, v *Versions[K, V], done func(V) bool) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		row := Some(r.Value)
		if done != nil {
			tx.node = n
			if row.OK = !done(r.Value); !row.OK && !planted("what is deleted keeps its value") {
				row = None[V]() // as it is read again: what was deleted has no value
			}
			tx.called(n)
		}
		if v.put(tx, row, Record[K, struct{}]{Key: r.Key, Time: r.Time, Headers: r.Headers}); tx.err == nil {
			v.expire(tx)
		}
	}
}

// AsOf is a lookup of what is valid at a time, in a table that keeps versions; in another one
// of the row that there is.
func AsOf[K, V any](find Lookup[K, V]) LookupAsOf[K, V] {
	return func(tx *Tx, k K, at Time) (V, bool) {
		tx.asOf = max(at, NoTime).plus(2)
		v, _, ok := find(tx, k)
		tx.asOf = 0
		return v, ok
	}
}
