package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// Windowed is the codec of the keys of tumbling, hopping and sliding windows in Kafka
// Streams' format: the key, then 8 bytes with the start. The end follows from size, which
// is the difference for sliding windows.
func Windowed[K comparable](key core.Codec[K], size time.Duration) core.Codec[core.Windowed[K]] {
	return windowed[K]{key, core.Ms(size), "windowed", 8}
}

// UnlimitedWindowed is the codec of the keys of unlimited windows: the key, then 8 bytes
// with the start.
func UnlimitedWindowed[K comparable](key core.Codec[K]) core.Codec[core.Windowed[K]] {
	return windowed[K]{key, math.MaxInt64, "unlimited", 8}
}

// SessionWindowed is the codec of session keys in Kafka Streams' format: the key, then 8
// bytes with the end, then 8 bytes with the start. Rows have the same keys.
func SessionWindowed[K comparable](key core.Codec[K]) core.Codec[core.Windowed[K]] {
	return session[K]{key}
}

// WindowRows is the codec of a window table's keys, as Kafka Streams has them in its window
// stores and their changelogs: that of Windowed, then a sequence number of 4 bytes, which
// is 0.
func WindowRows[K comparable](key core.Codec[K], size time.Duration) core.Codec[core.Windowed[K]] {
	return windowed[K]{key, core.Ms(size), "windowRow", 12}
}

// UnlimitedRows is WindowRows of unlimited windows.
func UnlimitedRows[K comparable](key core.Codec[K]) core.Codec[core.Windowed[K]] {
	return windowed[K]{key, math.MaxInt64, "unlimitedRow", 12}
}

type windowed[K comparable] struct {
	key    core.Codec[K]
	size   core.Time
	schema string
	tail   int // bytes behind the key
}

var errNullKey = errors.New("a windowed key with no key in it")

func (c windowed[K]) Append(dst []byte, w core.Windowed[K]) ([]byte, error) {
	b, err := c.key.Append(dst, w.Key)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, errNullKey
	}
	b = binary.BigEndian.AppendUint64(b, uint64(w.Start))
	if c.tail == 12 {
		b = append(b, 0, 0, 0, 0)
	}
	return b, nil
}

func (c windowed[K]) Decode(src []byte) (w core.Windowed[K], err error) {
	n := len(src) - c.tail
	if n < 0 {
		return w, core.Malformed(len(src), "windowed key: %d bytes where %d or more were expected", len(src), c.tail)
	}
	if w.Key, err = c.key.Decode(src[:n:n]); err != nil {
		return w, core.MalformedPart(0, "windowed key", err)
	}
	w.Start = core.Time(binary.BigEndian.Uint64(src[n:]))
	if w.End = w.Start + c.size; w.End < w.Start {
		w.End = math.MaxInt64 // as the operator has it
	}
	return w, nil
}

// AppendPartition implements core.PartitionCodec: as in Kafka Streams, all windows of a key lie in
// its partition.
func (c windowed[K]) AppendPartition(dst []byte, w core.Windowed[K]) ([]byte, error) {
	return appendPartition(dst, c.key, w.Key)
}

func appendPartition[K comparable](dst []byte, c core.Codec[K], k K) ([]byte, error) {
	if pc, ok := c.(core.PartitionCodec[K]); ok {
		return pc.AppendPartition(dst, k)
	}
	b, err := c.Append(dst, k)
	if b == nil && err == nil {
		err = errNullKey
	}
	return b, err
}

// DueOf implements core.DueCodec: time and sliding windows close in the order of their starts.
func (c windowed[K]) DueOf(key []byte) (at, then core.Time, ok bool) {
	return core.DueTail(key, c.tail-8)
}

func (c windowed[K]) Schema() string {
	if c.size == math.MaxInt64 {
		return c.schema + "(" + SchemaOf(c.key) + ")"
	}
	return fmt.Sprintf("%s(%s, %v)", c.schema, SchemaOf(c.key), time.Duration(c.size)*time.Millisecond)
}

func (c windowed[K]) Check() error {
	if c.size < 0 {
		return errors.New("a windowed key with a negative size")
	}
	return Check(c.key)
}

func (c windowed[K]) canonical() bool { return IsCanonical(c.key) }

type session[K comparable] struct{ key core.Codec[K] }

func (c session[K]) Append(dst []byte, w core.Windowed[K]) ([]byte, error) {
	b, err := c.key.Append(dst, w.Key)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, errNullKey
	}
	b = binary.BigEndian.AppendUint64(b, uint64(w.End))
	return binary.BigEndian.AppendUint64(b, uint64(w.Start)), nil
}

// AppendPartition implements core.PartitionCodec, as for other windows.
func (c session[K]) AppendPartition(dst []byte, w core.Windowed[K]) ([]byte, error) {
	return appendPartition(dst, c.key, w.Key)
}

func (c session[K]) Decode(src []byte) (w core.Windowed[K], err error) {
	n := len(src) - 16
	if n < 0 {
		return w, core.Malformed(len(src), "session key: %d bytes where 16 or more were expected", len(src))
	}
	if w.Key, err = c.key.Decode(src[:n:n]); err != nil {
		return w, core.MalformedPart(0, "session key", err)
	}
	w.End, w.Start = core.Time(binary.BigEndian.Uint64(src[n:])), core.Time(binary.BigEndian.Uint64(src[n+8:]))
	return w, nil
}

// DueOf implements core.DueCodec: sessions close in the order of their ends, then starts.
func (c session[K]) DueOf(key []byte) (at, then core.Time, ok bool) { return core.DueTail(key, 8) }

func (c session[K]) Schema() string  { return "session(" + SchemaOf(c.key) + ")" }
func (c session[K]) Check() error    { return Check(c.key) }
func (c session[K]) canonical() bool { return IsCanonical(c.key) }
