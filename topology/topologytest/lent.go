package topologytest

import (
	"bytes"
	"slices"

	"github.com/seed-81380e12/limpet/core"
)

// What a task was fed it gets in memory of its own, which is overwritten once the records have
// run: a shell does so, to use the memory again. A codec whose Decode keeps what it was given, or
// an operator that does, then shows.

// spoilt is what stands in memory that nobody may look at any more.
const spoilt = 0xdb

// lend gives the batch copies of the records.
func (s *source) lend(b *core.Batch, rs []core.RawRecord) {
	b.Records = slices.Clone(rs)
	for i := range b.Records {
		r := &b.Records[i]
		r.Key, r.Value, r.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), bytes.Clone(r.Headers)
	}
	s.lent = append(s.lent, b)
}

// spoil overwrites the batches of which all records have run: next is the first that has not.
func (s *source) spoil(next core.Offset, keeps bool) {
	n := 0
	for ; n < len(s.lent) && s.lent[n].Next <= next; n++ {
		rs := s.lent[n].Records
		if keeps || slices.ContainsFunc(rs, func(r core.RawRecord) bool { return len(r.Headers) > 0 }) {
			continue
		}
		for i := range rs {
			fill(rs[i].Key)
			fill(rs[i].Value)
			rs[i] = core.RawRecord{Key: rs[i].Key, Value: rs[i].Value, Time: -1, Offset: -1}
		}
	}
	s.lent = slices.Delete(s.lent, 0, n)
}

func fill(b []byte) {
	for i := range b {
		b[i] = spoilt
	}
}
