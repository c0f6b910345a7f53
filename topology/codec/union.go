package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/core"
)

// Union is the codec of an interface whose values are of the members' types, a closed set of
// structs: a JSON object whose first member, "type", is the name of the Go type, or what its
// method EventType() says. The values given say no more than their types:
//
//	codec.Union[Event](Opened{}, Deposited{}, Withdrawn{})
//
// Encoding a value of another type, and decoding another name, are errors.
func Union[E any](members ...E) core.Codec[E] {
	u := &union[E]{byType: map[reflect.Type]*member{}, byName: map[string]*member{}}
	for _, v := range members {
		t := reflect.TypeOf(v)
		m := &member{name: TypeName(v), t: t}
		switch {
		case t == nil || t.Kind() != reflect.Struct:
			u.wrong = errors.Join(u.wrong, fmt.Errorf("union: its member of type %v is no struct", t))
			continue
		case hasMember(t, "type"):
			u.wrong = errors.Join(u.wrong, fmt.Errorf("union: %v has a member \"type\", which says which of the types it is", t))
		case u.byName[m.name] != nil:
			u.wrong = errors.Join(u.wrong, fmt.Errorf("union: two members are called %q", m.name))
		default:
			u.wrong = errors.Join(u.wrong, (&losses{seen: map[reflect.Type]bool{}}).of(t, typeName(t)))
		}
		m.head = `"type":` + strconv.Quote(m.name)
		u.byType[t], u.byName[m.name], u.names = m, m, append(u.names, m.name)
	}
	if len(members) == 0 {
		u.wrong = errors.New("union: it has no members")
	}
	return u
}

// TypeName is what an event's type is called: by its method EventType() string, or by the Go
// type's name.
func TypeName(v any) string {
	if named, ok := v.(interface{ EventType() string }); ok {
		return named.EventType()
	}
	if t := reflect.TypeOf(v); t != nil {
		return t.Name()
	}
	return ""
}

type union[E any] struct {
	byType map[reflect.Type]*member
	byName map[string]*member
	names  []string
	wrong  error
}

type member struct {
	name, head string
	t          reflect.Type
}

func (u *union[E]) Append(dst []byte, v E) ([]byte, error) {
	m := u.byType[reflect.TypeOf(v)]
	if m == nil {
		return nil, fmt.Errorf("union: %T is none of %s", v, strings.Join(u.names, ", "))
	}
	object, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return appendMember(dst, m.head, object), nil
}

func (u *union[E]) Decode(src []byte) (e E, err error) {
	var head struct {
		Type *string `json:"type"`
	}
	if err := json.Unmarshal(src, &head); err != nil {
		return e, undecodable(err)
	}
	if head.Type == nil {
		return e, core.Malformed(0, "union: there is no member \"type\"")
	}
	m := u.byName[*head.Type]
	if m == nil {
		return e, core.Malformed(0, "union: type %q is none of %s", *head.Type, strings.Join(u.names, ", "))
	}
	v := reflect.New(m.t)
	if err := json.Unmarshal(src, v.Interface()); err != nil {
		return e, undecodable(err)
	}
	return v.Elem().Interface().(E), nil
}

func (u *union[E]) Schema() string {
	return "union(" + typeName(reflect.TypeFor[E]()) + ": " + strings.Join(u.names, ", ") + ")"
}
func (u *union[E]) Check() error { return u.wrong }
func (*union[E]) isJSON()        {}

// Upcast is the codec of the next version of a type: values are written as next writes them,
// with a first member "version", and values of older versions are read and turned into the
// next one by up:
//
//	v2 := codec.Upcast(codec.JSON[CustomerV1](), codec.JSON[CustomerV2](), SplitName)
//	v3 := codec.Upcast(v2, codec.JSON[Customer](), AddLanguage)
//
// Both codecs write JSON objects. What has no version is of version 1. A version that is
// newer than next is an error: the reader must be brought up to date first.
func Upcast[Old, New any](old core.Codec[Old], next core.Codec[New], up func(Old) New) core.Codec[New] {
	u := &upcast[Old, New]{old: old, next: next, up: up, version: 2}
	if v, ok := old.(versioned); ok {
		u.version = v.newest() + 1
	}
	u.head = `"version":` + strconv.Itoa(u.version)
	return u
}

type upcast[Old, New any] struct {
	old     core.Codec[Old]
	next    core.Codec[New]
	up      func(Old) New
	version int
	head    string
}

// versioned is a codec of several versions.
type versioned interface{ newest() int }

func (u *upcast[Old, New]) newest() int { return u.version }

func (u *upcast[Old, New]) Append(dst []byte, v New) ([]byte, error) {
	object, err := u.next.Append([]byte{}, v)
	if err != nil {
		return nil, err
	}
	if len(object) < 2 || object[0] != '{' {
		return nil, fmt.Errorf("upcast: version %d is no JSON object", u.version)
	}
	return appendMember(dst, u.head, object), nil
}

func (u *upcast[Old, New]) Decode(src []byte) (v New, err error) {
	var head struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(src, &head); err != nil {
		return v, undecodable(err)
	}
	is := 1
	if head.Version != nil {
		is = *head.Version
	}
	return u.decode(src, is)
}

func (u *upcast[Old, New]) decode(src []byte, is int) (v New, err error) {
	switch {
	case is == u.version:
		return u.next.Decode(src)
	case is < 1 || is > u.version:
		return v, core.Malformed(0, "upcast: version %d is none of 1 to %d", is, u.version)
	}
	var old Old
	if below, ok := u.old.(interface {
		decode([]byte, int) (Old, error)
	}); ok {
		old, err = below.decode(src, is)
	} else {
		old, err = u.old.Decode(src)
	}
	if err != nil {
		return v, fmt.Errorf("version %d: %w", is, err)
	}
	return u.up(old), nil
}

func (u *upcast[Old, New]) Schema() string {
	return "version " + strconv.Itoa(u.version) + " of " + SchemaOf(u.next)
}

func (u *upcast[Old, New]) Check() error {
	err := errors.Join(Check(u.old), Check(u.next))
	for _, side := range []struct {
		json bool
		t    reflect.Type
	}{{isJSON(u.old), reflect.TypeFor[Old]()}, {isJSON(u.next), reflect.TypeFor[New]()}} {
		switch {
		case !side.json:
			err = errors.Join(err, fmt.Errorf("upcast: the codec of %v writes no JSON", side.t))
		case side.t.Kind() == reflect.Struct && hasMember(side.t, "version"):
			err = errors.Join(err, fmt.Errorf("upcast: %v has a member \"version\", which says how to read it", side.t))
		}
	}
	if u.up == nil {
		err = errors.Join(err, errors.New("upcast: its function is nil"))
	}
	return err
}

func (*upcast[Old, New]) isJSON() {}

func isJSON(c any) bool {
	_, ok := c.(interface{ isJSON() })
	return ok
}

// appendMember appends an object with one more member in front.
func appendMember(dst []byte, head string, object []byte) []byte {
	dst = append(append(dst, '{'), head...)
	if len(object) > 2 {
		dst = append(dst, ',')
	}
	return append(dst, object[1:]...)
}

// hasMember reports whether encoding/json takes a member of that name for a field of t, in
// any case.
func hasMember(t reflect.Type, name string) bool {
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || tag == "-" || f.Anonymous && tag == "":
		case tag == "" && strings.EqualFold(f.Name, name), strings.EqualFold(tag, name):
			return true
		}
	}
	return false
}
