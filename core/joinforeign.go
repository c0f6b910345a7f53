package core

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Foreign-key joins. The left side tells the right one, in the partition of the foreign
// key, which of its rows wait for which right row: a subscription. The right side answers,
// now and at each change of that row, in the partition of the left key. Each change of a
// left row has a number of its own, which its subscription and all answers to it carry: an
// answer to another change than the last one comes too late, and is dropped.

// Subscription says that a left row refers to the right row whose key it is sent to.
type Subscription[K any] struct {
	Key     K // of the left row
	Version int64
	Do      SubscriptionKind
}

// SubscriptionKind is what becomes of a subscription.
type SubscriptionKind uint8

// The kinds.
const (
	Subscribe        SubscriptionKind = iota
	SubscribeQuietly                  // with no right row nothing needs to be said, if there was no result
	Unsubscribe                       // without an answer: the row refers to another one now
	Leave                             // the row is gone; that is answered
)

// Answer is a right row for a left one.
type Answer[B any] struct {
	Version int64
	Quiet   bool
	Gone    bool // the left row is
	Right   Opt[B]
}

// ForeignJoin is the left side of a foreign-key join.
type ForeignJoin[K, F comparable, A, B, R any] struct {
	Node    NodeID
	Left    Lookup[K, A]
	Foreign func(A) F
	Join    func(A, Opt[B]) R
	Inner   bool
	Done    func(R) bool // a result that it accepts is none; may be nil
	// Versions has the number of each left row's last change; that of a row that is gone, and
	// whose result is not deleted yet, is below 0.
	Versions *Table[K, int64]
	Results  *Table[K, R]
	Last     *Clock // no time: the greatest version so far
	Send     Next[F, Subscription[K]]
	Next     Next[K, Change[R]] // may be nil
}

// FromLeft takes the changes of the left table. The result of a row that is gone is deleted by
// way of the right side, too: as Kafka Streams does, so that results of one left row keep their
// order.
func (j *ForeignJoin[K, F, A, B, R]) FromLeft(tx *Tx, r Record[K, Change[A]]) {
	was, is := r.Value.Old, r.Value.New
	if !was.OK && !is.OK {
		return
	}
	var from, to F
	tx.node = j.Node
	if was.OK {
		from = j.Foreign(was.Value)
	}
	if is.OK {
		to = j.Foreign(is.Value)
	}
	tx.called(j.Node)
	i := j.Versions.find(tx, r.Key)
	if i < 0 {
		return
	}
	j.Last.move(j.Last.at + 1)
	s := Subscription[K]{Key: r.Key, Version: int64(j.Last.at)}
	if !is.OK {
		j.Versions.put(i, -s.Version, r.Time)
		s.Do = Leave
		j.Send(tx, Record[F, Subscription[K]]{from, s, r.Time, r.Headers})
		return
	}
	j.Versions.put(i, s.Version, r.Time)
	if s.Do = SubscribeQuietly; was.OK && from != to {
		s.Do = Unsubscribe
		j.Send(tx, Record[F, Subscription[K]]{from, s, r.Time, r.Headers})
		s.Do = Subscribe
	}
	j.Send(tx, Record[F, Subscription[K]]{to, s, r.Time, r.Headers})
}

// FromAnswers takes what the right side answers.
func (j *ForeignJoin[K, F, A, B, R]) FromAnswers(tx *Tx, r Record[K, Answer[B]]) {
	i := j.Versions.find(tx, r.Key)
	if i < 0 {
		return
	}
	c := &j.Versions.cells[i]
	if r.Value.Gone {
		if c.ok && c.val == -r.Value.Version {
			if !j.Inner { // no right row has a part in it
				r.Time = c.at
			}
			j.Versions.delete(i, r.Time)
			j.result(tx, r.Key, None[R](), r.Time, r.Headers)
		}
		return
	}
	if !c.ok || c.val != r.Value.Version {
		return // the row has changed since, and another answer is on its way
	}
	a, _, ok := j.Left(tx, r.Key)
	if tx.err != nil || !ok {
		return
	}
	var row Opt[R]
	if r.Value.Right.OK || !j.Inner {
		tx.node = j.Node
		row = Some(j.Join(a, r.Value.Right))
		row.OK = j.Done == nil || !j.Done(row.Value)
		tx.called(j.Node)
	} else if r.Value.Quiet && !planted("a join by foreign keys is never quiet") {
		if _, _, ok := j.Results.Get(tx, r.Key); !ok {
			return
		}
	}
	j.result(tx, r.Key, row, r.Time, r.Headers)
}

func (j *ForeignJoin[K, F, A, B, R]) result(tx *Tx, k K, row Opt[R], at Time, h Headers) {
	if i := j.Results.find(tx, k); i >= 0 {
		set(tx, j.Results, i, row, Record[K, struct{}]{Key: k, Time: at, Headers: h}, j.Next)
	}
}

// Subscriber is the key of a subscription in its store.
type Subscriber[F, K comparable] struct {
	Foreign F
	Key     K
}

// SubscriberCodec writes 4 bytes of length, the foreign key and the left key, as Kafka
// Streams does.
type SubscriberCodec[F, K comparable] struct {
	Foreign Codec[F]
	Key     Codec[K]
}

// Append implements Codec.
func (c SubscriberCodec[F, K]) Append(dst []byte, s Subscriber[F, K]) ([]byte, error) {
	at := len(dst)
	dst, err := c.Foreign.Append(append(dst, 0, 0, 0, 0), s.Foreign)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return c.Key.Append(dst, s.Key)
}

// Decode implements Codec.
func (c SubscriberCodec[F, K]) Decode(src []byte) (s Subscriber[F, K], err error) {
	if len(src) < 4 || uint64(binary.BigEndian.Uint32(src)) > uint64(len(src)-4) {
		return s, Malformed(0, "key of a subscription: the foreign key is cut short: %q", src)
	}
	n := 4 + int(binary.BigEndian.Uint32(src))
	if s.Foreign, err = c.Foreign.Decode(src[4:n:n]); err != nil {
		return s, MalformedPart(4, "key of a subscription: foreign key", err)
	}
	s.Key, err = c.Key.Decode(src[n:])
	return s, MalformedPart(n, "key of a subscription", err)
}

// AppendPrefix implements PrefixCodec: what the subscriptions to one right row begin with.
func (c SubscriberCodec[F, K]) AppendPrefix(dst []byte, s Subscriber[F, K]) ([]byte, error) {
	at := len(dst)
	dst, err := c.Foreign.Append(append(dst, 0, 0, 0, 0), s.Foreign)
	if err == nil {
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst, err
}

// Subscriptions is the right side of a foreign-key join. Which left rows wait for which
// right one is in memory, too, in the order of their keys' bytes: all while they are few, else
// for the right rows that were used lately.
type Subscriptions[F, K comparable, B any] struct {
	tb     *Table[Subscriber[F, K], int64]
	right  Lookup[F, B]
	next   Next[K, Answer[B]]
	kc     Codec[K]
	by     byKey[F, K]
	loaded bool
	ab, bb []byte // two keys that are compared
}

// NewSubscriptions makes the right side, which keeps its subscriptions in tb, whose codec of keys
// is a SubscriberCodec.
func NewSubscriptions[F, K comparable, B any](tb *Table[Subscriber[F, K], int64], kc Codec[K], right Lookup[F, B], next Next[K, Answer[B]]) *Subscriptions[F, K, B] {
	s := &Subscriptions[F, K, B]{tb: tb, right: right, next: next, kc: kc}
	prefix := tb.kc.(PrefixCodec[Subscriber[F, K]])
	bind(&s.by, tb, func(k Subscriber[F, K]) F { return k.Foreign }, func(k Subscriber[F, K]) K { return k.Key }, func(f F, lo, hi []byte) (_, _ []byte, err error) {
		if lo, err = prefix.AppendPrefix(lo, Subscriber[F, K]{Foreign: f}); err != nil {
			return nil, nil, err
		}
		hi = append(hi, lo...)
		n := len(hi)
		for hi[n-1] == 0xff { // there is a length in front, which is less than all
			n--
		}
		hi[n-1]++
		return lo, hi[:n], nil
	})
	tb.aborted = func() { s.loaded = false }
	return s
}

// place is where a key is in a list, or belongs.
func (s *Subscriptions[F, K, B]) place(list []K, k K) (int, bool) {
	s.ab, _ = s.kc.Append(s.ab[:0], k) // it was encoded before, or came decoded, as those of the list
	return slices.BinarySearchFunc(list, s.ab, func(e K, b []byte) int {
		s.bb, _ = s.kc.Append(s.bb[:0], e)
		return bytes.Compare(s.bb, b)
	})
}

func (s *Subscriptions[F, K, B]) load(tx *Tx) bool {
	if s.loaded {
		return true
	}
	s.by.clear(true)
	few, ok := scanFew(tx, s.tb, s.tb.indexRows(), func(k Subscriber[F, K], _ []byte, _ Time) error {
		s.index(k, true)
		return nil
	})
	if ok && !few {
		s.by.clear(false)
	}
	s.loaded = ok
	return ok
}

// index adds a subscription to those in memory, or takes it out.
func (s *Subscriptions[F, K, B]) index(k Subscriber[F, K], add bool) {
	list, _ := s.by.known(k.Foreign)
	i, ok := s.place(list, k.Key)
	switch {
	case add && !ok:
		s.by.insert(k.Foreign, list, i, k.Key)
	case !add && ok:
		s.by.remove(k.Foreign, list, i)
	}
}

// FromLeft takes subscriptions. Each is answered, but for an Unsubscribe.
func (s *Subscriptions[F, K, B]) FromLeft(tx *Tx, r Record[F, Subscription[K]]) {
	if !s.load(tx) {
		return
	}
	k := Subscriber[F, K]{r.Key, r.Value.Key}
	i := s.tb.find(tx, k)
	if i < 0 {
		return
	}
	was, ends := s.tb.cells[i].ok, r.Value.Do >= Unsubscribe
	if was == ends { // the list is found as it was
		if _, ok := s.by.of(tx, r.Key); !ok {
			return
		}
		s.index(k, !ends)
	}
	if ends && was {
		s.tb.delete(i, r.Time)
	} else if !ends {
		s.tb.put(i, r.Value.Version, r.Time)
	}
	if r.Value.Do == Unsubscribe {
		return
	}
	a := Answer[B]{Version: r.Value.Version, Quiet: r.Value.Do == SubscribeQuietly, Gone: r.Value.Do == Leave}
	var at Time
	if a.Right.Value, at, a.Right.OK = s.right(tx, r.Key); tx.err != nil {
		return
	}
	if a.Right.OK {
		r.Time = max(r.Time, at)
	}
	if a.Gone {
		a.Right = None[B]()
	}
	s.next(tx, Record[K, Answer[B]]{k.Key, a, r.Time, r.Headers})
}

// FromRight takes the changes of the right table: each left row that waits for the row is
// told, by the order of their keys.
func (s *Subscriptions[F, K, B]) FromRight(tx *Tx, r Record[F, Change[B]]) {
	if !s.load(tx) || !r.Value.New.OK && planted("the deletion of a right row is not told") {
		return
	}
	list, ok := s.by.of(tx, r.Key)
	if !ok {
		return
	}
	for _, e := range list {
		version, _, ok := s.tb.Get(tx, Subscriber[F, K]{r.Key, e})
		if !ok {
			return // the task has failed
		}
		if s.next(tx, Record[K, Answer[B]]{e, Answer[B]{Version: version, Right: r.Value.New}, r.Time, r.Headers}); tx.err != nil {
			return
		}
	}
}
