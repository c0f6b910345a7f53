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
	in := cutter{src: src}
	t := in.varint()
	key, keyAt := in.sized()
	headers, _ := in.sized()
	value, valueAt := in.opt()
	if err := in.end("record"); err != nil {
		return r, err
	}
	r.Time = core.Time(t)
	if r.Key, err = c.kc.Decode(key); err != nil {
		return r, core.MalformedPart(keyAt, "record: key", err)
	}
	if r.Value, err = decodeNullable(c.vc, value); err != nil {
		return r, core.MalformedPart(valueAt, "record: value", err)
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
	in := cutter{src: src}
	for _, o := range [2]*core.Opt[V]{&ch.Old, &ch.New} {
		b, at := in.opt()
		if b != nil {
			if o.Value, err = c.vc.Decode(b); err != nil {
				return core.Change[V]{}, core.MalformedPart(at, "change", err)
			}
			o.OK = true
		}
	}
	if err := in.end("change"); err != nil {
		return core.Change[V]{}, err
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

// cutter cuts what was written into its parts, one behind the other. At the first that is cut short it stays: that one
// and all behind it are empty.
type cutter struct {
	src []byte
	at  int
	cut bool
}

// step goes behind a varint of n bytes; 0 or less: there is none.
func (c *cutter) step(n int) bool {
	if c.cut = c.cut || n <= 0; c.cut {
		return false
	}
	c.at += n
	return true
}

func (c *cutter) varint() int64 {
	v, n := binary.Varint(c.src[c.at:])
	if !c.step(n) {
		return 0
	}
	return v
}

// take takes n bytes behind their length, which is k long.
func (c *cutter) take(n uint64, k int) (b []byte, at int) {
	if k > 0 && n > uint64(len(c.src)-c.at-k) {
		k = 0
	}
	if !c.step(k) {
		return nil, c.at
	}
	at = c.at
	c.at += int(n)
	return c.src[at:c.at:c.at], at
}

// sized takes bytes with their length in front, and says where they begin.
func (c *cutter) sized() (b []byte, at int) {
	n, k := binary.Uvarint(c.src[c.at:])
	return c.take(n, k)
}

// opt takes bytes or that there are none: the length plus one, 0 for nil.
func (c *cutter) opt() (b []byte, at int) {
	n, k := binary.Uvarint(c.src[c.at:])
	if k > 0 && n == 0 {
		c.step(k)
		return nil, c.at
	}
	return c.take(n-1, k)
}

// rest is what is left.
func (c *cutter) rest() []byte { return c.src[c.at:] }

// err says where it is cut short.
func (c *cutter) err(what string) error {
	if c.cut {
		return core.Malformed(c.at, "%s: cut short", what)
	}
	return nil
}

// end wants that nothing is left.
func (c *cutter) end(what string) error {
	if err := c.err(what); err != nil {
		return err
	}
	if c.at < len(c.src) {
		return core.Malformed(c.at, "%s: %d bytes too many", what, len(c.src)-c.at)
	}
	return nil
}

func decodeNullable[V any](c core.Codec[V], b []byte) (v V, err error) {
	if _, ok := c.(core.NullDecoder); b == nil && !ok {
		return v, errors.New("null")
	}
	return c.Decode(b)
}
