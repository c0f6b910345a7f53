package topology

import (
	"encoding/binary"
	"errors"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// bufferCodec writes a record that waits in a join with Grace, as Kafka Streams' buffer has it in its
// changelog. All numbers are big-endian, and a length of -1 is null:
//
//	8  the record's time
//	8  its offset: here -1
//	4  length and bytes of its topic: here none
//	4  its partition: here -1
//	4  number of headers; for each of them length (4) and bytes of key and value
//	4  length and bytes of the value before: -1
//	4  length and bytes of the old value: -1
//	4  length and bytes of the value
//	8  a time, which is 0
//
// Where a record comes from is left out: in a repartition topic offsets depend on when tasks have
// committed, and rows must not.
type bufferCodec[V any] struct{ vc core.Codec[V] }

// noLength is that of null.
const noLength = ^uint32(0)

func (c bufferCodec[V]) Append(dst []byte, p core.Parked[V]) ([]byte, error) {
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.At))
	dst = binary.BigEndian.AppendUint64(dst, ^uint64(0))
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, noLength)
	dst, err := appendHeaders(dst, p.Headers)
	if err != nil {
		return nil, err
	}
	for range 3 { // the last one is the value's
		dst = binary.BigEndian.AppendUint32(dst, noLength)
	}
	at := len(dst)
	b, err := c.vc.Append(dst, p.Value)
	if err != nil {
		return nil, err
	}
	if b != nil {
		binary.BigEndian.PutUint32(b[at-4:], uint32(len(b)-at))
		dst = b
	}
	return binary.BigEndian.AppendUint64(dst, 0), nil
}

func (c bufferCodec[V]) Decode(src []byte) (p core.Parked[V], err error) {
	in := bufferReader{rest: src}
	p.At = core.Time(in.uint64())
	in.uint64() // offset
	in.sized()  // topic
	in.uint32() // partition
	var raw []byte
	for range in.count() {
		key, value := in.sized(), in.sized()
		raw = appendRawHeader(raw, key, value)
	}
	p.Headers = core.HeadersOf(raw)
	in.sized() // the value before
	in.sized() // the old one
	value := in.sized()
	valueAt := len(src) - len(in.rest) - len(value)
	in.uint64()
	switch {
	case in.cut:
		return p, core.Malformed(len(src)-len(in.rest), "record in a buffer: cut short")
	case len(in.rest) > 0:
		return p, core.Malformed(len(src)-len(in.rest), "record in a buffer: %d bytes too many", len(in.rest))
	}
	p.Value, err = decodeNullable(c.vc, value)
	return p, core.MalformedPart(valueAt, "record in a buffer", err)
}

func (c bufferCodec[V]) Schema() string { return "buffered(" + codec.SchemaOf(c.vc) + ")" }
func (c bufferCodec[V]) Check() error   { return codec.Check(c.vc) }

// bufferReader reads what Java's ByteBuffer has written. It stays where something is missing.
type bufferReader struct {
	rest []byte
	cut  bool
}

func (r *bufferReader) take(n int) (b []byte) {
	if r.cut = r.cut || n > len(r.rest); r.cut {
		return nil
	}
	b, r.rest = r.rest[:n:n], r.rest[n:]
	return b
}

func (r *bufferReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *bufferReader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// sized reads a length and so many bytes; nil is null. Other lengths below 0 have none of their own either.
func (r *bufferReader) sized() []byte {
	n := int32(r.uint32())
	if n < 0 {
		return nil
	}
	return r.take(int(n))
}

// count reads how many headers follow, of 8 bytes at least. Old ones say -1 for none.
func (r *bufferReader) count() int {
	n := int(int32(r.uint32()))
	if r.cut = r.cut || n > len(r.rest)/8; r.cut {
		return 0
	}
	return max(0, n)
}

// appendHeaders appends headers as Java's ByteBuffer has them, null values too.
func appendHeaders(dst []byte, h core.Headers) ([]byte, error) {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	n := uint32(0)
	for rest := h.Raw(); len(rest) > 0; {
		for range 2 { // key and value
			size, k := binary.Varint(rest)
			if k <= 0 || size > int64(len(rest)-k) {
				return nil, errors.New("headers are cut off")
			}
			dst = binary.BigEndian.AppendUint32(dst, uint32(max(size, -1)))
			rest = rest[k:]
			if size > 0 {
				dst, rest = append(dst, rest[:size]...), rest[size:]
			}
		}
		n++
	}
	binary.BigEndian.PutUint32(dst[at:], n)
	return dst, nil
}

// appendRawHeader appends one header to raw ones, as core.AppendHeader does; a value that is nil is null.
func appendRawHeader(raw, key, value []byte) []byte {
	raw = append(binary.AppendVarint(raw, int64(len(key))), key...)
	if value == nil {
		return binary.AppendVarint(raw, -1)
	}
	return append(binary.AppendVarint(raw, int64(len(value))), value...)
}
