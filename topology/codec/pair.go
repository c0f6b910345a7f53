package codec

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-81380e12/limpet/core"
)

// Pair is a key of two parts, of which the first one counts more.
type Pair[A, B comparable] struct {
	First  A
	Second B
}

// PairOf is the codec of pairs. Its bytes sort as the pairs do: by the first part, then by
// the second one, each as the bytes of its own codec sort, and integers by their value. So
// rows of a table with such keys can be found by the first part (topology.Range). The second
// part may be a pair again.
//
// The bytes: those of the first part, each 0 in them as 00 FF, then 00 01, then those of the
// second part. An integer (Int64, Integer) is 8 bytes, big-endian, with its sign bit turned
// over, and nothing behind it.
func PairOf[A, B comparable](first core.Codec[A], second core.Codec[B]) core.Codec[Pair[A, B]] {
	return pair[A, B]{sorted(first), sorted(second)}
}

// PairByFirst is PairOf for pairs that are partitioned by their first part, as that is with its own
// codec: so rows and records with such keys lie where those are whose key is the first part, and
// one processor can read them together. It is the codec of the topic, or the KeyCodec of KeyBy; who else
// writes to such a topic must choose the partition so, too.
func PairByFirst[A, B comparable](first core.Codec[A], second core.Codec[B]) core.Codec[Pair[A, B]] {
	return pairByFirst[A, B]{pair[A, B]{sorted(first), sorted(second)}, first}
}

type pairByFirst[A, B comparable] struct {
	pair[A, B]
	first core.Codec[A]
}

// AppendPartition implements core.PartitionCodec.
func (c pairByFirst[A, B]) AppendPartition(dst []byte, p Pair[A, B]) ([]byte, error) {
	return c.first.Append(dst, p.First)
}

func (c pairByFirst[A, B]) Schema() string {
	return "pairByFirst(" + SchemaOf(c.a) + ", " + SchemaOf(c.b) + ")"
}

// sorter is a codec that knows another one whose bytes sort as the values do.
type sorter[T any] interface{ sorted() core.Codec[T] }

func sorted[T any](c core.Codec[T]) core.Codec[T] {
	if s, ok := c.(sorter[T]); ok {
		return s.sorted()
	}
	return c
}

func (integer[T]) sorted() core.Codec[T] { return sortedInteger[T]{} }

// sortedInteger is integer with the sign bit turned over.
type sortedInteger[T ~int64] struct{}

const signBit = 1 << 63

func (sortedInteger[T]) Append(dst []byte, v T) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^signBit), nil
}

func (sortedInteger[T]) Decode(src []byte) (T, error) {
	if len(src) != 8 {
		return 0, wrongSize("int64", 8, src)
	}
	return T(binary.BigEndian.Uint64(src) ^ signBit), nil
}

func (sortedInteger[T]) Schema() string { return "int64" }
func (sortedInteger[T]) Canonical()     {}
func (sortedInteger[T]) fixed() int     { return 8 }

func (a as[T, B]) sorted() core.Codec[T] { return as[T, B]{sorted(a.c)} }
func (a as[T, B]) fixed() int            { return fixed(a.c) }

// fixed is how many bytes each value has; 0 where they differ.
func fixed[T any](c core.Codec[T]) int {
	if f, ok := c.(interface{ fixed() int }); ok {
		return f.fixed()
	}
	return 0
}

type pair[A, B comparable] struct {
	a core.Codec[A]
	b core.Codec[B]
}

const (
	pairEscape = 0xff // behind a 0 that is in the first part
	pairEnd    = 0x01 // behind the 0 that ends it
)

// AppendPrefix implements core.PrefixCodec: the bytes of the first part.
func (c pair[A, B]) AppendPrefix(dst []byte, p Pair[A, B]) ([]byte, error) {
	if dst == nil {
		dst = []byte{} // no bytes are not null
	}
	at := len(dst)
	dst, err := c.a.Append(dst, p.First)
	if err != nil {
		return nil, err
	}
	if dst == nil {
		return nil, fmt.Errorf("first part of a pair: %w", errNullPart)
	}
	if fixed(c.a) > 0 {
		return dst, nil
	}
	zeros := 0
	for _, b := range dst[at:] {
		if b == 0 {
			zeros++
		}
	}
	if zeros > 0 { // move the bytes apart, from the last on
		from := len(dst) - 1
		for range zeros {
			dst = append(dst, 0)
		}
		for to := len(dst) - 1; to > from; from-- {
			b := dst[from]
			if b == 0 {
				dst[to] = pairEscape
				to--
			}
			dst[to] = b
			to--
		}
	}
	return append(dst, 0, pairEnd), nil
}

var errNullPart = fmt.Errorf("its codec writes null")

func (c pair[A, B]) Append(dst []byte, p Pair[A, B]) ([]byte, error) {
	dst, err := c.AppendPrefix(dst, p)
	if err != nil {
		return nil, err
	}
	if dst, err = c.b.Append(dst, p.Second); err == nil && dst == nil {
		err = fmt.Errorf("second part of a pair: %w", errNullPart)
	}
	return dst, err
}

func (c pair[A, B]) Decode(src []byte) (p Pair[A, B], err error) {
	first, rest, err := c.split(src)
	if err != nil {
		return p, err
	}
	if p.First, err = c.a.Decode(first); err != nil {
		return p, core.MalformedPart(0, "first part of a pair", err)
	}
	if p.Second, err = c.b.Decode(rest); err != nil {
		return p, core.MalformedPart(len(src)-len(rest), "second part of a pair", err)
	}
	return p, nil
}

// split parts the bytes in two, and copies the first part where there are zeros in it.
func (c pair[A, B]) split(src []byte) (first, rest []byte, err error) {
	if n := fixed(c.a); n > 0 {
		if len(src) < n {
			return nil, nil, wrongSize("first part of a pair", n, src)
		}
		return src[:n:n], src[n:], nil
	}
	var plain []byte
	from := 0
	for i := 0; i+1 < len(src); i++ {
		if src[i] != 0 {
			continue
		}
		switch src[i+1] {
		case pairEnd:
			if first = src[from:i:i]; plain != nil {
				first = append(plain, first...)
			}
			return first, src[i+2:], nil
		case pairEscape:
			plain = append(plain, src[from:i+1]...)
			i++
			from = i + 1
		default:
			return nil, nil, core.Malformed(i+1, "pair: %x behind a 0", src[i+1])
		}
	}
	return nil, nil, core.Malformed(len(src), "pair of %d bytes: its first part has no end", len(src))
}

func (c pair[A, B]) Schema() string {
	return "pair(" + SchemaOf(c.a) + ", " + SchemaOf(c.b) + ")"
}

func (c pair[A, B]) Check() error {
	if err := Check(c.a); err != nil {
		return err
	}
	return Check(c.b)
}

func (c pair[A, B]) canonical() bool { return IsCanonical(c.a) && IsCanonical(c.b) }
