package core

import (
	"encoding/binary"
)

// KeyID is a key and an id that tells its records apart.
type KeyID[K, I comparable] struct {
	Key K
	ID  I
}

// KeyIDCodec writes the length of the key as a uvarint, the key and the id.
type KeyIDCodec[K, I comparable] struct {
	Key Codec[K]
	ID  Codec[I]
}

// Append implements Codec.
func (c KeyIDCodec[K, I]) Append(dst []byte, k KeyID[K, I]) ([]byte, error) {
	at := len(dst)
	dst, err := c.Key.Append(dst, k.Key)
	if err != nil {
		return nil, err
	}
	var size [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(size[:], uint64(len(dst)-at))
	dst = append(dst, size[:n]...) // room for it; the key moves behind
	copy(dst[at+n:], dst[at:len(dst)-n])
	copy(dst[at:], size[:n])
	return c.ID.Append(dst, k.ID)
}

// Decode implements Codec.
func (c KeyIDCodec[K, I]) Decode(src []byte) (k KeyID[K, I], err error) {
	n, size := binary.Uvarint(src)
	if size <= 0 || n > uint64(len(src)-size) {
		return k, Malformed(0, "key and id: the key is cut short: %q", src)
	}
	end := size + int(n)
	if k.Key, err = c.Key.Decode(src[size:end]); err != nil {
		return k, MalformedPart(size, "key and id", err)
	}
	k.ID, err = c.ID.Decode(src[end:])
	return k, MalformedPart(end, "id", err)
}

// Seen is the row of an id that was seen; its time is when.
type Seen struct{}

// SeenCodec writes a byte.
type SeenCodec struct{}

// Append implements Codec.
func (SeenCodec) Append(dst []byte, _ Seen) ([]byte, error) { return append(dst, 1), nil }

// Decode implements Codec.
func (SeenCodec) Decode([]byte) (s Seen, err error) { return s, nil }

// Deduplicate passes on the first record of each key and id within the time to live of e,
// which is that of tb, and drops the others. A record that is older than that, by e's clock,
// is late: whether its id was seen is not known any more.
func Deduplicate[K, I comparable, V any](n NodeID, tb *Table[KeyID[K, I], Seen], e *Expiry[KeyID[K, I], Seen], id func(V) I, next Next[K, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		if !e.begin(tx, r.Time) {
			return
		}
		if r.Time.plus(e.ttl) < e.clock.at {
			tx.drop(n, Late)
			return
		}
		tx.node = n
		k := KeyID[K, I]{r.Key, id(r.Value)}
		tx.called(n)
		i := tb.find(tx, k)
		switch {
		case i < 0:
		case tb.cells[i].ok:
			tx.drop(n, Duplicate)
			if planted("a duplicate prolongs its id") {
				tb.put(i, Seen{}, r.Time)
			}
		default:
			tb.put(i, Seen{}, r.Time)
			next(tx, r)
		}
	}
}

// Throttle passes on at most so many records of each key in a period of e's clock, and gives
// the others to rest, which may be nil, and counts them. A period is as long as e's time to
// live, and begins with the first record that goes on. The row has how many went on, its time
// is when the period began.
func Throttle[K comparable, V any](n NodeID, tb *Table[K, int64], e *Expiry[K, int64], most int64, next, rest Next[K, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		if !e.begin(tx, r.Time) {
			return
		}
		i := tb.find(tx, r.Key)
		if i < 0 {
			return
		}
		c := &tb.cells[i]
		since, count := e.clock.at, int64(0)
		if c.ok && since < c.at.plus(e.ttl) {
			since, count = c.at, c.val
		}
		if count < most {
			tb.put(i, count+1, since)
			next(tx, r)
			return
		}
		tx.drop(n, Throttled)
		if rest != nil {
			rest(tx, r)
		}
	}
}
