package topologytest

import (
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/lent"
)

// What a task was fed it gets in memory of its own, which is overwritten once the records have
// run: a shell does so, to use the memory again. A codec whose Decode keeps what it was given, or
// an operator that does, then shows.

// lend gives the batch copies of the records.
func (s *source) lend(b *core.Batch, rs []core.RawRecord) {
	b.Records = lent.Copy(rs)
	s.lent = append(s.lent, b)
}

// spoil overwrites the batches of which all records have run: next is the first that has not.
func (s *source) spoil(next core.Offset, keeps bool) {
	n := 0
	for ; n < len(s.lent) && s.lent[n].Next <= next; n++ {
		if !keeps {
			lent.Spoil(s.lent[n].Records)
		}
	}
	s.lent = slices.Delete(s.lent, 0, n)
}
