package lent

import (
	"bytes"
	"slices"

	"github.com/seed-81380e12/limpet/core"
)

// spoilt is what stands in memory that nobody may look at any more.
const spoilt = 0xdb

// Copy returns the records in memory of their own.
func Copy(rs []core.RawRecord) []core.RawRecord {
	rs = slices.Clone(rs)
	for i := range rs {
		r := &rs[i]
		r.Key, r.Value, r.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), bytes.Clone(r.Headers)
	}
	return rs
}

// Spoil writes over records that have run, unless some have headers: those may be kept, and what
// was fetched together is used again together.
func Spoil(rs []core.RawRecord) {
	if slices.ContainsFunc(rs, func(r core.RawRecord) bool { return len(r.Headers) > 0 }) {
		return
	}
	for i := range rs {
		fill(rs[i].Key)
		fill(rs[i].Value)
		rs[i] = core.RawRecord{Key: rs[i].Key, Value: rs[i].Value, Time: -1, Offset: -1}
	}
}

func fill(b []byte) {
	for i := range b {
		b[i] = spoilt
	}
}
