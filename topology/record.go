package topology

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// recordCodec writes a whole record into a value, for what goes behind Records into a
// repartition topic or a state: time, key, headers, each with its length, and the value.
type recordCodec[K comparable, V any] struct {
	kc core.Codec[K]
	vc core.Codec[V]
}

var errCut = errors.New("cut short")

func (c recordCodec[K, V]) Append(dst []byte, r core.Record[K, V]) ([]byte, error) {
	dst = binary.AppendVarint(dst, int64(r.Time))
	dst, _, err := appendWith(dst, c.kc, r.Key, 0)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	dst = appendSized(dst, r.Headers.Raw())
	if dst, _, err = appendWith(dst, c.vc, r.Value, 1); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	return dst, nil
}

func (c recordCodec[K, V]) Decode(src []byte) (r core.Record[K, V], err error) {
	t, n := binary.Varint(src)
	if n <= 0 {
		return r, fmt.Errorf("record: %w", errCut)
	}
	key, src, ok := cutSized(src[n:])
	headers, src, ok2 := cutSized(src)
	value, src, ok3 := cutOpt(src)
	if !ok || !ok2 || !ok3 || len(src) > 0 {
		return r, fmt.Errorf("record: %w", errCut)
	}
	r.Time = core.Time(t)
	if r.Key, err = c.kc.Decode(key); err != nil {
		return r, fmt.Errorf("record: key: %w", err)
	}
	if r.Value, err = decodeNullable(c.vc, value); err != nil {
		return r, fmt.Errorf("record: value: %w", err)
	}
	r.Headers = core.HeadersOf(append([]byte(nil), headers...))
	return r, nil
}

func (c recordCodec[K, V]) Schema() string {
	return "record(" + codec.SchemaOf(c.kc) + ", " + codec.SchemaOf(c.vc) + ")"
}

func (c recordCodec[K, V]) Check() error {
	if err := codec.Check(c.kc); err != nil {
		return err
	}
	return codec.Check(c.vc)
}

// changeCodec writes a table's change: the old row and the new one, where there is one.
type changeCodec[V any] struct{ vc core.Codec[V] }

func (c changeCodec[V]) Append(dst []byte, ch core.Change[V]) ([]byte, error) {
	for _, o := range [2]core.Opt[V]{ch.Old, ch.New} {
		if !o.OK {
			dst = append(dst, 0)
			continue
		}
		var null bool
		var err error
		if dst, null, err = appendWith(dst, c.vc, o.Value, 1); err != nil {
			return nil, err
		}
		if null {
			return nil, errors.New("change: a row is null")
		}
	}
	return dst, nil
}

func (c changeCodec[V]) Decode(src []byte) (ch core.Change[V], err error) {
	for _, o := range [2]*core.Opt[V]{&ch.Old, &ch.New} {
		b, rest, ok := cutOpt(src)
		if !ok {
			return core.Change[V]{}, fmt.Errorf("change: %w", errCut)
		}
		if src = rest; b != nil {
			if o.Value, err = c.vc.Decode(b); err != nil {
				return core.Change[V]{}, fmt.Errorf("change: %w", err)
			}
			o.OK = true
		}
	}
	if len(src) > 0 {
		return core.Change[V]{}, errors.New("change: too long")
	}
	return ch, nil
}

func (c changeCodec[V]) Schema() string { return "change(" + codec.SchemaOf(c.vc) + ")" }
func (c changeCodec[V]) Check() error   { return codec.Check(c.vc) }

func appendSized(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// appendWith appends v with its length plus more in front, with nothing in between; null is
// a length of 0.
func appendWith[T any](dst []byte, c core.Codec[T], v T, more int) (_ []byte, null bool, err error) {
	if dst == nil {
		dst = []byte{} // a codec that appends nothing to nil would write null
	}
	at := len(dst)
	b, err := c.Append(dst, v)
	if err != nil {
		return nil, false, err
	}
	if b == nil {
		return append(dst, 0), true, nil
	}
	var size [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(size[:], uint64(len(b)-at+more))
	b = append(b, size[:n]...)
	copy(b[at+n:], b[at:len(b)-n])
	copy(b[at:], size[:n])
	return b, false, nil
}

func cutSized(src []byte) (b, rest []byte, ok bool) {
	n, k := binary.Uvarint(src)
	if k <= 0 || n > uint64(len(src)-k) {
		return nil, nil, false
	}
	return src[k : k+int(n)], src[k+int(n):], true
}

// cutOpt takes bytes or that there are none: the length plus one, 0 for nil.
func cutOpt(src []byte) (b, rest []byte, ok bool) {
	n, k := binary.Uvarint(src)
	switch {
	case k <= 0 || n > 0 && n-1 > uint64(len(src)-k):
		return nil, nil, false
	case n == 0:
		return nil, src[k:], true
	}
	return src[k : k+int(n-1)], src[k+int(n-1):], true
}

func decodeNullable[V any](c core.Codec[V], b []byte) (v V, err error) {
	if _, ok := c.(core.NullDecoder); b == nil && !ok {
		return v, errors.New("null")
	}
	return c.Decode(b)
}
