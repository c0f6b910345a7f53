package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-81380e12/limpet/core"
)

// List is the codec of a slice, by that of its elements. Where they are JSON, it is a
// JSON array; else each element follows its length, a varint. An empty slice is read as nil.
func List[T any](element core.Codec[T]) core.Codec[[]T] {
	if _, ok := element.(interface{ isJSON() }); ok {
		return jsonList[T]{element}
	}
	return list[T]{element}
}

var errNullElement = errors.New("an element of a list is null")

type list[T any] struct{ e core.Codec[T] }

func (l list[T]) Append(dst []byte, vs []T) ([]byte, error) {
	if dst == nil {
		dst = []byte{} // of no elements, but not null
	}
	for _, v := range vs {
		// The length goes before what it counts: leave room for the longest one.
		start := len(dst)
		dst = append(dst, make([]byte, binary.MaxVarintLen32)...)
		b, err := l.e.Append(dst, v)
		if err != nil {
			return nil, err
		}
		if b == nil {
			return nil, errNullElement
		}
		if len(b) < start+binary.MaxVarintLen32 {
			return nil, errors.New("the codec of a list's elements does not append")
		}
		body := b[start+binary.MaxVarintLen32:]
		dst = binary.AppendUvarint(b[:start], uint64(len(body)))
		dst = append(dst, body...)
	}
	return dst, nil
}

func (l list[T]) Decode(src []byte) (vs []T, err error) {
	for at := 0; at < len(src); {
		n, k := binary.Uvarint(src[at:])
		if k <= 0 || n > uint64(len(src)-at-k) {
			return nil, core.Malformed(at, "list: element %d is cut short", len(vs))
		}
		at += k
		v, err := l.e.Decode(src[at : at+int(n)])
		if err != nil {
			return nil, core.MalformedPart(at, fmt.Sprintf("list: element %d", len(vs)), err)
		}
		vs, at = append(vs, v), at+int(n)
	}
	return vs, nil
}

func (l list[T]) Schema() string { return "list(" + SchemaOf(l.e) + ")" }
func (l list[T]) Check() error   { return checkElement(l.e) }

type jsonList[T any] struct{ e core.Codec[T] }

func (l jsonList[T]) Append(dst []byte, vs []T) ([]byte, error) {
	dst = append(dst, '[')
	for i, v := range vs {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = l.e.Append(dst, v); err != nil {
			return nil, err
		}
		if dst == nil {
			return nil, errNullElement
		}
	}
	return append(dst, ']'), nil
}

func (l jsonList[T]) Decode(src []byte) ([]T, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(src, &parts); err != nil {
		return nil, undecodable(err)
	}
	var vs []T
	for i, p := range parts {
		v, err := l.e.Decode(p)
		if err != nil {
			return nil, core.MalformedPart(elementAt(src, i), fmt.Sprintf("list: element %d", i), err)
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// elementAt is where an element of a JSON array, which is in order, begins.
func elementAt(src []byte, i int) int {
	d := json.NewDecoder(bytes.NewReader(src))
	_, _ = d.Token()
	var element json.RawMessage
	for range i + 1 {
		_ = d.Decode(&element)
	}
	return int(d.InputOffset()) - len(element)
}

func (l jsonList[T]) Schema() string { return "list(" + SchemaOf(l.e) + ")" }
func (l jsonList[T]) Check() error   { return checkElement(l.e) }
func (jsonList[T]) isJSON()          {}

func checkElement[T any](e core.Codec[T]) error {
	if e == nil {
		return errors.New("codec.List of a nil codec")
	}
	if _, ok := e.(core.NullDecoder); ok {
		return errors.New("codec.List of a codec that has null")
	}
	return Check(e)
}
