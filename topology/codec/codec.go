package codec

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"regexp"
	"unsafe"

	"github.com/seed-81380e12/limpet/core"
)

// The codecs of Go's plain types, as Kafka's own serializers write them.
var (
	String  core.Codec[string]  = text[string]{}
	Bytes   core.Codec[[]byte]  = raw{}
	Int64   core.Codec[int64]   = integer[int64]{}
	Float64 core.Codec[float64] = float{}
)

// BorrowedBytes is Bytes without the copy: a stream's values refer to the batch that was
// fetched, a megabyte or so, which lives as long as one of them does. It is for values that are
// passed on, or not looked at, as where records are counted. Who keeps them, as Reduce and
// joins of streams do, wants Bytes. Values must not be written to, those of Bytes neither.
var BorrowedBytes core.Codec[[]byte] = borrowed{}

// Text is String for a type of one's own, say type CustomerID string.
func Text[T ~string]() core.Codec[T] { return text[T]{} }

// Integer is Int64 for a type of one's own.
func Integer[T ~int64]() core.Codec[T] { return integer[T]{} }

// Func makes a codec of two functions. appendTo appends a value's bytes to dst; neither
// function may keep the slice that it is given.
func Func[T any](appendTo func(dst []byte, v T) ([]byte, error), decode func(src []byte) (T, error)) core.Codec[T] {
	return &function[T]{appendTo, decode}
}

// Default is what state gets when nothing is said: Text, Integer, Float64 or Bytes by
// the kind of T, else JSON.
func Default[T any]() core.Codec[T] {
	switch t := reflect.TypeFor[T](); {
	case t.Kind() == reflect.String:
		return as[T, string]{String}
	case t.Kind() == reflect.Int64:
		return as[T, int64]{Int64}
	case t.Kind() == reflect.Float64:
		return as[T, float64]{Float64}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return as[T, []byte]{Bytes}
	}
	return JSON[T]()
}

// Optional adds room for Kafka's null: a stream of it sees null values as missing ones.
func Optional[T any](c core.Codec[T]) core.Codec[core.Opt[T]] { return optional[T]{c} }

// SchemaOf says what a codec's bytes are: its Schema, or the Go type where it has none.
func SchemaOf[T any](c core.Codec[T]) string {
	if s, ok := c.(interface{ Schema() string }); ok {
		return s.Schema()
	}
	return "go(" + typeName(reflect.TypeFor[T]()) + ")"
}

// Check tells why a codec would lose data, or nil.
func Check[T any](c core.Codec[T]) error {
	if c == nil {
		return errors.New("the codec is nil")
	}
	if s, ok := c.(interface{ Check() error }); ok {
		return s.Check()
	}
	return nil
}

type text[T ~string] struct{}

func (text[T]) Append(dst []byte, v T) ([]byte, error) { return append(dst, v...), nil }
func (text[T]) Decode(src []byte) (T, error)           { return T(src), nil }
func (text[T]) Schema() string                         { return "string" }
func (text[T]) Canonical()                             {}

type raw struct{}

func (raw) Append(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil }
func (raw) Decode(src []byte) ([]byte, error)           { return append([]byte{}, src...), nil }
func (raw) Schema() string                              { return "bytes" }
func (raw) Canonical()                                  {}

// borrowed copies the rows of tables, as raw does.
type borrowed struct{ raw }

func (borrowed) Borrowing() core.Codec[[]byte] { return alias{} }

type alias struct{ raw }

func (alias) Decode(src []byte) ([]byte, error) { return src[:len(src):len(src)], nil }

type integer[T ~int64] struct{}

func (integer[T]) Append(dst []byte, v T) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
}

func (integer[T]) Decode(src []byte) (T, error) {
	if len(src) != 8 {
		return 0, wrongSize("int64", 8, src)
	}
	return T(binary.BigEndian.Uint64(src)), nil
}

func (integer[T]) Schema() string { return "int64" }
func (integer[T]) Canonical()     {}

// float is not canonical: 0 and -0 are one key and two encodings.
type float struct{}

func (float) Append(dst []byte, v float64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v)), nil
}

func (float) Decode(src []byte) (float64, error) {
	if len(src) != 8 {
		return 0, wrongSize("float64", 8, src)
	}
	return math.Float64frombits(binary.BigEndian.Uint64(src)), nil
}

func (float) Schema() string { return "float64" }

func wrongSize(what string, want int, src []byte) error {
	return core.Malformed(min(len(src), want), "%s: %d bytes where %d were expected", what, len(src), want)
}

type function[T any] struct {
	appendTo func([]byte, T) ([]byte, error)
	decode   func([]byte) (T, error)
}

func (f *function[T]) Append(dst []byte, v T) ([]byte, error) { return f.appendTo(dst, v) }
func (f *function[T]) Decode(src []byte) (T, error)           { return f.decode(src) }

func (f *function[T]) Check() error {
	if f.appendTo == nil || f.decode == nil {
		return errors.New("codec.Func with a nil function")
	}
	return nil
}

// as is the codec of T by that of B, the type below T: Default makes one only where
// their kinds are the same, and so the layout.
type as[T, B any] struct{ c core.Codec[B] }

func (a as[T, B]) Append(dst []byte, v T) ([]byte, error) {
	return a.c.Append(dst, *(*B)(unsafe.Pointer(&v)))
}

func (a as[T, B]) Decode(src []byte) (T, error) {
	b, err := a.c.Decode(src)
	return *(*T)(unsafe.Pointer(&b)), err
}

func (a as[T, B]) Schema() string { return SchemaOf(a.c) }

func (a as[T, B]) canonical() bool { return IsCanonical(a.c) }

// IsCanonical reports whether every value has one encoding only, so that a key's bytes
// in a topic are the bytes that Append makes of it.
func IsCanonical[T any](c core.Codec[T]) bool {
	if a, ok := c.(interface{ canonical() bool }); ok {
		return a.canonical()
	}
	_, ok := c.(interface{ Canonical() })
	return ok
}

type optional[T any] struct{ c core.Codec[T] }

func (o optional[T]) Append(dst []byte, v core.Opt[T]) ([]byte, error) {
	if !v.OK {
		return nil, nil
	}
	b, err := o.c.Append(dst, v.Value)
	if b == nil && err == nil {
		b = []byte{} // there, but of no bytes: not null
	}
	return b, err
}

func (o optional[T]) Decode(src []byte) (v core.Opt[T], err error) {
	if src == nil {
		return v, nil
	}
	if v.Value, err = o.c.Decode(src); err != nil {
		return core.Opt[T]{}, err
	}
	v.OK = true
	return v, nil
}

func (o optional[T]) Schema() string { return "optional(" + SchemaOf(o.c) + ")" }
func (optional[T]) DecodesNull()     {}

func (o optional[T]) Check() error {
	if _, ok := o.c.(core.NullDecoder); ok {
		return errors.New("codec.Optional of a codec that has null already")
	}
	return Check(o.c)
}

var qualifier = regexp.MustCompile(`[^\[\](){}*,;\s]*[./]`)

// typeName is a type's name without its packages.
func typeName(t reflect.Type) string { return qualifier.ReplaceAllString(t.String(), "") }
