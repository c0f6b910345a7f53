package codec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// What most records are, structs of strings, numbers and booleans, is read and written here,
// by a plan that is made of the type once: in a seventh of the time that encoding/json takes
// to decode, and half of that to encode. The bytes and values are those of encoding/json. To
// be sure of that, whatever is not plain is left to it: types with other fields, and of the
// plain types each record with null, \u escapes, invalid UTF-8, names in other case, and all
// that is wrong.

// jsonPlan reads and writes values of one type.
type jsonPlan struct {
	kind   reflect.Kind
	bits   int
	elem   *jsonPlan // of a slice
	typ    reflect.Type
	fields []jsonField // of a struct
}

type jsonField struct {
	name      string
	key       string // with quotes and a colon, and a comma in front
	offset    uintptr
	omitEmpty bool
	*jsonPlan
}

// planDepth bounds nesting, of types and of values that are skipped.
const planDepth = 32

// planOf returns the plan of a type, or nil where it is not plain.
func planOf(t reflect.Type, depth int) *jsonPlan {
	if depth == 0 || hasMethods(t) || hasMethods(reflect.PointerTo(t)) {
		return nil
	}
	p := &jsonPlan{kind: t.Kind(), typ: t}
	switch t.Kind() {
	case reflect.String, reflect.Bool:
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Float32, reflect.Float64:
		p.bits = t.Bits()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.bits = t.Bits()
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 { // base64
			return nil
		}
		if p.elem = planOf(t.Elem(), depth-1); p.elem == nil {
			return nil
		}
	case reflect.Struct:
		if !p.addFields(t, depth) {
			return nil
		}
	default:
		return nil
	}
	return p
}

func hasMethods(t reflect.Type) bool {
	for _, m := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()} {
		if t.Implements(m) {
			return true
		}
	}
	return false
}

func (p *jsonPlan) addFields(t reflect.Type, depth int) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		if f.Anonymous || !f.IsExported() || options != "" && options != "omitempty" || !plainName(name) {
			return false
		}
		fp := planOf(f.Type, depth-1)
		if fp == nil {
			return false
		}
		for _, other := range p.fields {
			if strings.EqualFold(other.name, name) {
				return false
			}
		}
		p.fields = append(p.fields, jsonField{name, `,"` + name + `":`, f.Offset, options != "", fp})
	}
	return true
}

// plainName reports whether a name needs no escapes, and is one that encoding/json takes.
func plainName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '_' && s[i] != '-' {
			return false
		}
	}
	return s != "" && s != "-"
}

// append appends the value at v; false: encoding/json has to do it.
func (p *jsonPlan) append(b []byte, v unsafe.Pointer) ([]byte, bool) {
	switch p.kind {
	case reflect.String:
		return appendString(b, *(*string)(v))
	case reflect.Bool:
		return strconv.AppendBool(b, *(*bool)(v)), true
	case reflect.Float32, reflect.Float64:
		f := p.float(v)
		if a := math.Abs(f); a != 0 && (a < 1e-6 || !(a < 1e21)) {
			return b, false
		}
		return strconv.AppendFloat(b, f, 'f', -1, p.bits), true
	case reflect.Struct:
		return p.appendStruct(b, v)
	case reflect.Slice:
		s := reflect.NewAt(p.typ, v).Elem()
		if s.IsNil() {
			return append(b, "null"...), true
		}
		b = append(b, '[')
		for i := range s.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			var ok bool
			if b, ok = p.elem.append(b, s.Index(i).Addr().UnsafePointer()); !ok {
				return b, false
			}
		}
		return append(b, ']'), true
	}
	if p.unsigned() {
		return strconv.AppendUint(b, p.uint(v), 10), true
	}
	return strconv.AppendInt(b, p.int(v), 10), true
}

func (p *jsonPlan) appendStruct(b []byte, v unsafe.Pointer) (_ []byte, ok bool) {
	began := len(b)
	b = append(b, '{')
	for i := range p.fields {
		f := &p.fields[i]
		at := unsafe.Add(v, f.offset)
		if f.omitEmpty && f.empty(at) {
			continue
		}
		key := f.key
		if len(b) == began+1 {
			key = key[1:]
		}
		b = append(b, key...)
		if f.kind == reflect.String {
			b, ok = appendString(b, *(*string)(at))
		} else {
			b, ok = f.append(b, at)
		}
		if !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// empty is what omitempty leaves out.
func (p *jsonPlan) empty(v unsafe.Pointer) bool {
	switch p.kind {
	case reflect.Struct:
		return false
	case reflect.Slice:
		return reflect.NewAt(p.typ, v).Elem().Len() == 0
	}
	return reflect.NewAt(p.typ, v).Elem().IsZero()
}

// appendString appends s in quotes; false where it needs rare escapes.
func appendString(b []byte, s string) ([]byte, bool) {
	b = append(b, '"')
	from, ascii := 0, true
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			ascii = ascii && c < utf8.RuneSelf
			continue
		}
		switch c {
		case '"', '\\':
		case '\n':
			c = 'n'
		case '\r':
			c = 'r'
		case '\t':
			c = 't'
		default:
			return b, false
		}
		b = append(append(b, s[from:i]...), '\\', c)
		from = i + 1
	}
	// U+2028 and U+2029, e2 80 a8 and a9, are escaped for the sake of JavaScript.
	if !ascii && (!utf8.ValidString(s) || strings.Contains(s, "\u2028") || strings.Contains(s, "\u2029")) {
		return b, false
	}
	return append(append(b, s[from:]...), '"'), true
}

func (p *jsonPlan) unsigned() bool { return p.kind >= reflect.Uint && p.kind <= reflect.Uint64 }

func (p *jsonPlan) float(v unsafe.Pointer) float64 {
	if p.bits == 32 {
		return float64(*(*float32)(v))
	}
	return *(*float64)(v)
}

func (p *jsonPlan) int(v unsafe.Pointer) int64 {
	switch p.bits {
	case 8:
		return int64(*(*int8)(v))
	case 16:
		return int64(*(*int16)(v))
	case 32:
		return int64(*(*int32)(v))
	}
	return *(*int64)(v)
}

func (p *jsonPlan) uint(v unsafe.Pointer) uint64 {
	switch p.bits {
	case 8:
		return uint64(*(*uint8)(v))
	case 16:
		return uint64(*(*uint16)(v))
	case 32:
		return uint64(*(*uint32)(v))
	}
	return *(*uint64)(v)
}

// jsonReader reads a value. Each of its methods reports false where encoding/json has to
// look at the whole.
type jsonReader struct {
	src []byte
	at  int
}

// decode reads all of src into v, which is zero.
func (p *jsonPlan) decode(src []byte, v unsafe.Pointer) bool {
	r := jsonReader{src: src}
	if !r.value(p, v) {
		return false
	}
	r.space()
	return r.at == len(src)
}

func (r *jsonReader) space() {
	for r.at < len(r.src) {
		switch r.src[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// is skips space and then c, if it is there.
func (r *jsonReader) is(c byte) bool {
	if r.at < len(r.src) && r.src[r.at] == c {
		r.at++
		return true
	}
	r.space()
	if r.at < len(r.src) && r.src[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *jsonReader) value(p *jsonPlan, v unsafe.Pointer) bool {
	switch p.kind {
	case reflect.String:
		s, ok := r.text()
		if ok {
			*(*string)(v) = s
		}
		return ok
	case reflect.Struct:
		return r.object(p, v)
	case reflect.Slice:
		return r.array(p, v)
	case reflect.Bool:
		r.space()
		switch {
		case r.word("true"):
			*(*bool)(v) = true
		case r.word("false"):
			*(*bool)(v) = false
		default:
			return false
		}
		return true
	case reflect.Float32, reflect.Float64:
		n, _, ok := r.number()
		if !ok {
			return false
		}
		f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(n), len(n)), p.bits)
		if p.bits == 32 {
			*(*float32)(v) = float32(f)
		} else {
			*(*float64)(v) = f
		}
		return err == nil
	}
	return r.integer(p, v)
}

func (r *jsonReader) word(w string) bool {
	if len(r.src)-r.at < len(w) || string(r.src[r.at:r.at+len(w)]) != w {
		return false
	}
	r.at += len(w)
	return true
}

// number reads a number and tells whether it is an integer.
func (r *jsonReader) number() (n []byte, integer, ok bool) {
	r.space()
	s, i := r.src, r.at
	digits := func() bool {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if !digits() {
		return nil, false, false
	}
	integer = true
	if i < len(s) && s[i] == '.' {
		i++
		if integer = false; !digits() {
			return nil, false, false
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if integer = false; !digits() {
			return nil, false, false
		}
	}
	n, r.at = s[r.at:i], i
	return n, integer, true
}

func (r *jsonReader) integer(p *jsonPlan, v unsafe.Pointer) bool {
	n, integer, ok := r.number()
	if !ok || !integer || len(n) > 18 { // 18 digits fit an int64
		return false
	}
	negative := n[0] == '-'
	if negative {
		n = n[1:]
	}
	x := int64(0)
	for _, c := range n {
		x = x*10 + int64(c-'0')
	}
	if negative {
		x = -x
	}
	if p.unsigned() {
		if negative || p.bits < 64 && x>>p.bits != 0 {
			return false
		}
		switch p.bits {
		case 8:
			*(*uint8)(v) = uint8(x)
		case 16:
			*(*uint16)(v) = uint16(x)
		case 32:
			*(*uint32)(v) = uint32(x)
		default:
			*(*uint64)(v) = uint64(x)
		}
		return true
	}
	switch p.bits {
	case 8:
		*(*int8)(v), ok = int8(x), x == int64(int8(x))
	case 16:
		*(*int16)(v), ok = int16(x), x == int64(int16(x))
	case 32:
		*(*int32)(v), ok = int32(x), x == int64(int32(x))
	default:
		*(*int64)(v) = x
	}
	return ok
}

// raw reads a string and returns what is between its quotes, and whether it has escapes.
func (r *jsonReader) raw() (s []byte, escapes, ok bool) {
	if !r.is('"') {
		return nil, false, false
	}
	from, ascii := r.at, true
	for i := from; i < len(r.src); i++ {
		switch c := r.src[i]; {
		case c == '"':
			s, r.at = r.src[from:i], i+1
			return s, escapes, ascii || utf8.Valid(s)
		case c == '\\':
			if i++; i == len(r.src) || bytes.IndexByte([]byte(`"\/bfnrt`), r.src[i]) < 0 {
				return nil, false, false
			}
			escapes = true
		case c < 0x20:
			return nil, false, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, false, false
}

func (r *jsonReader) text() (string, bool) {
	s, escapes, ok := r.raw()
	if !ok || !escapes {
		return string(s), ok
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			i++
			switch c = s[i]; c {
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			}
		}
		b = append(b, c)
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), true
}

func (r *jsonReader) object(p *jsonPlan, v unsafe.Pointer) bool {
	if !r.is('{') {
		return false
	}
	if r.is('}') {
		return true
	}
	next := 0 // members mostly come in the order of the fields
	for {
		name, escapes, ok := r.raw()
		if !ok || escapes || !r.is(':') {
			return false
		}
		f := -1
		for range p.fields {
			if next == len(p.fields) {
				next = 0
			}
			if p.fields[next].name == string(name) {
				f = next
				next++
				break
			}
			next++
		}
		if f >= 0 {
			ok = r.value(p.fields[f].jsonPlan, unsafe.Add(v, p.fields[f].offset))
		} else {
			ok = p.unknown(name) && r.skip(planDepth)
		}
		if !ok {
			return false
		}
		if r.is(',') {
			continue
		}
		return r.is('}')
	}
}

// unknown reports whether a member is none of the fields', in other case neither.
func (p *jsonPlan) unknown(name []byte) bool {
	for i := range p.fields {
		if bytes.EqualFold(name, []byte(p.fields[i].name)) {
			return false
		}
	}
	return true
}

func (r *jsonReader) array(p *jsonPlan, v unsafe.Pointer) bool {
	s := reflect.NewAt(p.typ, v).Elem()
	if !s.IsNil() || !r.is('[') { // a member that comes twice
		return false
	}
	s.Set(reflect.MakeSlice(p.typ, 0, 0))
	if r.is(']') {
		return true
	}
	for n := 0; ; n++ {
		if n == s.Cap() {
			s.Grow(1)
		}
		s.SetLen(n + 1)
		if !r.value(p.elem, s.Index(n).Addr().UnsafePointer()) {
			return false
		}
		if r.is(',') {
			continue
		}
		return r.is(']')
	}
}

// skip skips a value of whatever kind.
func (r *jsonReader) skip(depth int) bool {
	r.space()
	if r.at == len(r.src) || depth == 0 {
		return false
	}
	switch c := r.src[r.at]; c {
	case '"':
		_, _, ok := r.raw()
		return ok
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	case '{', '[':
		end := c + 2 // '}' and ']'
		r.at++
		if r.is(end) {
			return true
		}
		for {
			if c == '{' {
				if _, _, ok := r.raw(); !ok || !r.is(':') {
					return false
				}
			}
			if !r.skip(depth - 1) {
				return false
			}
			if r.is(',') {
				continue
			}
			return r.is(end)
		}
	}
	_, _, ok := r.number()
	return ok
}
