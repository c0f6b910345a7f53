package sim

import (
	"math/rand/v2"

	"github.com/seed-81380e12/limpet/internal/invariant"
)

// quiet is the fault that nobody writes to a source, or to one of its partitions, for long, while the others go on: tasks
// read what is empty beside what is not, joins wait for one side, and stream time stands still in one task or moves without the source. What
// would have been written is not: it does not come later.
//
// It draws from a generator of its own, so that the other runs are what they were.
type quiet struct {
	rng       *rand.Rand
	at, until int // from this record of the input on, up to that one; -1: never
	topic     string
	partition int32 // -1: all of them
	others    int   // records that were written meanwhile
	over      bool  // it has been written to again
}

// quietEvery is in how many seeds a source is silent, and quietLong how many records of others that must be for it to count.
const (
	quietEvery = 4
	quietLong  = 20
)

func newQuiet(seed uint64, records int, calm bool) quiet {
	s := quiet{rng: rand.New(rand.NewPCG(seed, 0x73696c656e6365)), at: -1}
	if s.rng.IntN(quietEvery) == 0 && !calm {
		s.at = s.rng.IntN(records)
		s.until = s.at + quietLong + s.rng.IntN(max(1, records-s.at)) // mostly before the input ends
	}
	return s
}

// keeps reports whether a record is not written, since its source is silent.
func (s *quiet) keeps(w *world, topic string, partition int32) bool {
	n := w.feeder.written
	if s.at < 0 || n < s.at {
		return false
	}
	if s.topic == "" {
		s.topic, s.partition = topic, -1
		if s.rng.IntN(2) == 0 {
			s.partition = partition
		}
		w.note("silence", topic, int64(s.partition), int64(s.until))
	}
	silent := s.topic == topic && (s.partition < 0 || s.partition == partition)
	switch {
	case silent && n < s.until:
		return true
	case silent && s.others >= quietLong && !s.over:
		s.over = true
		invariant.Sometimes("sim: a source that was silent goes on")
	case !silent && n < s.until:
		if s.others++; s.others == quietLong {
			w.faults.strikes(w, "silence", topic)
			if s.partition < 0 {
				invariant.Sometimes("sim: a source is silent while others go on")
			} else {
				invariant.Sometimes("sim: a partition is silent while others go on")
			}
		}
	}
	return false
}
