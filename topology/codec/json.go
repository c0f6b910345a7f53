package codec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"github.com/seed-81380e12/limpet/core"
)

// JSON encodes T with encoding/json, and leaves <, > and & as they are. A T that would
// lose data is a Build error: unexported fields, interfaces, members that JSON leaves
// out. Decode ignores members that T does not have, and refuses null where T cannot hold
// it. A string that is no valid UTF-8 is changed by encoding/json.
//
// Structs of plain fields take a shorter way to the same bytes and values: see jsonfast.go.
func JSON[T any]() core.Codec[T] {
	t := reflect.TypeFor[T]()
	c := &jsonCodec[T]{name: typeName(t)}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		c.null = true
	default:
		c.null = reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
	}
	c.plan = planOf(t, planDepth)
	c.pool.New = func() any {
		e := new(jsonEncoder[T])
		e.enc = json.NewEncoder(e)
		e.enc.SetEscapeHTML(false)
		return e
	}
	return c
}

type jsonCodec[T any] struct {
	name string
	null bool      // null is a value of T
	plan *jsonPlan // nil: encoding/json does it all
	pool sync.Pool // of *jsonEncoder[T]
}

// jsonEncoder is kept for its memory: the value lies in it, so that its address costs no
// allocation, and the encoder writes to dst without a copy in between.
type jsonEncoder[T any] struct {
	enc *json.Encoder
	dst []byte
	v   T
}

func (e *jsonEncoder[T]) Write(p []byte) (int, error) {
	e.dst = append(e.dst, bytes.TrimSuffix(p, []byte{'\n'})...)
	return len(p), nil
}

func (c *jsonCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	e := c.pool.Get().(*jsonEncoder[T])
	e.dst, e.v = dst, v
	var err error
	if b, ok := c.append(e); ok {
		e.dst = b
	} else {
		err = e.enc.Encode(&e.v)
	}
	dst = e.dst
	var zero T
	e.dst, e.v = nil, zero
	c.pool.Put(e)
	if err != nil {
		return nil, err
	}
	return dst, nil
}

// append is Append where the value is plain.
func (c *jsonCodec[T]) append(e *jsonEncoder[T]) ([]byte, bool) {
	if c.plan == nil {
		return nil, false
	}
	return c.plan.append(e.dst, unsafe.Pointer(&e.v))
}

func (c *jsonCodec[T]) Decode(src []byte) (T, error) {
	if c.plan != nil {
		if v, ok := c.decode(src); ok {
			return v, nil
		}
	}
	var v T
	if !c.null && string(bytes.TrimSpace(src)) == "null" {
		return v, core.Malformed(0, "json: null is no %s", c.name)
	}
	if err := json.Unmarshal(src, &v); err != nil {
		var zero T
		return zero, undecodable(err)
	}
	return v, nil
}

// decode is Decode where the record is plain.
func (c *jsonCodec[T]) decode(src []byte) (T, bool) {
	e := c.pool.Get().(*jsonEncoder[T])
	ok := c.plan.decode(src, unsafe.Pointer(&e.v))
	v := e.v
	var zero T
	e.v = zero
	c.pool.Put(e)
	return v, ok
}

// undecodable says where what encoding/json does not take is. Of what methods of the type refuse it says no more than that
// it is in the value.
func undecodable(err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch { // both count what was read, with the mistake
	case errors.As(err, &syntax):
		return core.Malformed(int(syntax.Offset), "json: %w", err)
	case errors.As(err, &typ):
		return core.Malformed(int(typ.Offset), "%w", err)
	}
	return core.Malformed(0, "%w", err)
}

func (c *jsonCodec[T]) Schema() string { return "json(" + c.name + ")" }
func (*jsonCodec[T]) isJSON()          {}

func (c *jsonCodec[T]) Check() error {
	return (&losses{seen: map[reflect.Type]bool{}}).of(reflect.TypeFor[T](), c.name)
}

// losses looks for what encoding/json would lose of a type.
type losses struct{ seen map[reflect.Type]bool }

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// speaksForItself reports whether t has its own pair of methods; they are trusted.
func speaksForItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonMarshaler) && p.Implements(jsonUnmarshaler) || p.Implements(textMarshaler) && p.Implements(textUnmarshaler)
}

func (l *losses) of(t reflect.Type, path string) error {
	if l.seen[t] {
		return nil
	}
	l.seen[t] = true
	if t.Kind() != reflect.Pointer && speaksForItself(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Interface:
		return fmt.Errorf("%s is an interface: which type a value had is lost in JSON", path)
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("%s is a %s, which JSON does not have", path, t.Kind())
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return l.of(t.Elem(), path)
	case reflect.Map:
		switch k := t.Key(); k.Kind() {
		case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
			reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		default:
			if p := reflect.PointerTo(k); !k.Implements(textMarshaler) || !p.Implements(textUnmarshaler) {
				return fmt.Errorf("%s has keys of type %s, which JSON does not have", path, typeName(k))
			}
		}
		return l.of(t.Elem(), path)
	case reflect.Struct:
		return l.ofStruct(t, path)
	}
	return nil
}

func (l *losses) ofStruct(t reflect.Type, path string) error {
	names := map[string]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := path + "." + f.Name
		switch {
		case f.Name == "_":
			continue
		case f.Tag.Get("json") == "-":
			return fmt.Errorf("%s is left out of the JSON by its tag", at)
		case f.Anonymous && tag == "" && !f.IsExported() && f.Type.Kind() == reflect.Struct:
			// Its exported fields are promoted, and found below.
		case !f.IsExported():
			return fmt.Errorf("%s is unexported: JSON leaves it out", at)
		case !f.Anonymous || tag != "":
			name := f.Name
			if tag != "" {
				name = tag
			}
			if other, ok := names[name]; ok {
				return fmt.Errorf("%s and %s.%s are the same JSON member, %q", at, path, other, name)
			}
			names[name] = f.Name
		}
		if err := l.of(f.Type, at); err != nil {
			return err
		}
	}
	return nil
}
