package core

import (
	"encoding/binary"
	"iter"
	"strings"
	"unsafe"
)

// Headers are a record's headers: an immutable value. The zero Headers are empty.
//
// They are kept as Kafka's record format has them, without the leading count: for
// each header the varint length of the key, the key, the varint length of the value
// (-1 is null), the value. So a record that passes through costs nothing for its
// headers, and nobody can change those that another branch sees.
type Headers struct{ raw string }

// HeadersOf takes raw headers over without a copy: raw must never change.
func HeadersOf(raw []byte) Headers {
	if len(raw) == 0 {
		return Headers{}
	}
	return Headers{unsafe.String(&raw[0], len(raw))}
}

// Raw returns the encoded headers, to be read only.
func (h Headers) Raw() []byte {
	if h.raw == "" {
		return nil
	}
	return unsafe.Slice(unsafe.StringData(h.raw), len(h.raw))
}

// Get returns the last header named key. A null value reads as "".
func (h Headers) Get(key string) (value string, ok bool) {
	for k, v := range h.All() {
		if k == key {
			value, ok = v, true
		}
	}
	return value, ok
}

// With returns h with the header key set to value; h itself stays as it is.
// Earlier headers of that key are replaced.
func (h Headers) With(key, value string) Headers {
	return h.with(make([]byte, 0, h.most(key, value)), key, value)
}

// most is how many bytes h has at most, with one header more.
func (h Headers) most(key, value string) int {
	return len(h.raw) + len(key) + len(value) + 2*binary.MaxVarintLen32
}

// with is With, in out.
func (h Headers) with(out []byte, key, value string) Headers {
	for k, v := range h.All() {
		if k != key {
			out = AppendHeader(out, k, v)
		}
	}
	return HeadersOf(AppendHeader(out, key, value))
}

// own is h in memory of its own: what stays must not hold on to a fetched batch.
func (h Headers) own() Headers {
	return Headers{strings.Clone(h.raw)}
}

// headerRoom is where headers are made: many share an allocation, which lives as long as the last
// of them.
type headerRoom []byte

const headerRoomSize = 4 << 10

// with is Headers.With.
func (m *headerRoom) with(h Headers, key, value string) Headers {
	if n := h.most(key, value); n > cap(*m)-len(*m) {
		if n > headerRoomSize/4 {
			return h.With(key, value)
		}
		*m = make([]byte, 0, headerRoomSize)
	}
	n := len(*m)
	h = h.with((*m)[n:n], key, value)
	*m = (*m)[:n+len(h.raw)]
	return h
}

// All yields the headers in their order. It stops at bytes that are no header.
func (h Headers) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := h.raw; rest != ""; {
			k, r, ok := cutVarString(rest)
			if !ok {
				return
			}
			v, r, ok := cutVarString(r)
			if !ok || !yield(k, v) {
				return
			}
			rest = r
		}
	}
}

// Count is the number of headers.
func (h Headers) Count() int {
	n := 0
	for range h.All() {
		n++
	}
	return n
}

// AppendHeader appends one header to raw headers.
func AppendHeader(raw []byte, key, value string) []byte {
	raw = append(binary.AppendVarint(raw, int64(len(key))), key...)
	return append(binary.AppendVarint(raw, int64(len(value))), value...)
}

// cutVarString cuts a varint length and that many bytes off; a negative length is null.
func cutVarString(s string) (field, rest string, ok bool) {
	var u uint64
	i, shift := 0, 0
	for ; ; i++ {
		if i == len(s) || shift > 63 {
			return "", "", false
		}
		u |= uint64(s[i]&0x7f) << shift
		if shift += 7; s[i] < 0x80 {
			break
		}
	}
	n, s := int64(u>>1)^-int64(u&1), s[i+1:]
	switch {
	case n < 0:
		return "", s, true
	case n > int64(len(s)):
		return "", "", false
	}
	return s[:n], s[n:], true
}
