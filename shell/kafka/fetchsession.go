package kafka

import (
	"encoding/binary"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// session is an incremental fetch session (KIP-227): the broker remembers what it was asked
// for, a request names what is different since, and a response what is new.
//
// In a session the order of the partitions is the broker's: those that had records come
// last. So there is one only where all partitions are of one priority (see the fetcher's
// Order), and where they are many enough to matter.
type session struct {
	id    int32 // 0: none
	epoch int32 // of the next request
	has   map[shell.Partition]*sent
	round int
}

// sent is what the broker remembers of a partition.
type sent struct {
	part  *fetchPart
	from  core.Offset
	max   int
	at    int // place in asked
	round int // of the last request that wants it
}

const (
	// sessionFrom is how many partitions make a session. Without one a request takes some 35
	// bytes for each, a response 45; and brokers keep 1 000 sessions for all of their clients.
	sessionFrom = 100
	// sessionEnd is the epoch of a request outside of sessions, which ends one that there is.
	sessionEnd = -1
)

// drop forgets the session: the next request is whole again.
func (s *session) drop() {
	s.id, s.epoch = 0, 0
	clear(s.has)
}

// begin prepares the next request for asked: its epoch, and whether it names all of asked.
func (s *session) begin(asked []asked, want bool) (epoch int32, whole bool) {
	if !want {
		return sessionEnd, true
	}
	if s.has == nil {
		s.has = map[shell.Partition]*sent{}
	}
	for i := range asked {
		if h := s.has[asked[i].Partition]; h != nil && h.part != asked[i].fetchPart {
			// Added anew. The broker says nothing of a partition that has nothing new for the
			// session, so it is asked in another one.
			s.epoch = 0
			break
		}
	}
	if s.epoch == 0 {
		clear(s.has)
	}
	s.round++
	for i := range asked {
		x := &asked[i]
		h := s.has[x.Partition]
		if h == nil {
			h = &sent{part: x.fetchPart, from: -1}
			s.has[x.Partition] = h
		}
		x.same = h.from == x.from && h.max == x.max
		h.from, h.max, h.at, h.round = x.from, x.max, i, s.round
	}
	return s.epoch, s.epoch == 0
}

// answered takes the session's id out of a response.
func (s *session) answered(id, epoch int32) {
	switch {
	case epoch == sessionEnd || id == 0: // ended, or the broker has no room for one
		s.drop()
	case epoch == 1<<31-1:
		s.id, s.epoch = id, 1
	default:
		s.id, s.epoch = id, epoch+1
	}
}

// lost reports whether a broker's answer says that it knows the session no more.
func (s *session) lost(k code) bool {
	return s.id != 0 && (k == sarama.ErrFetchSessionIDNotFound || k == sarama.ErrInvalidFetchSessionEpoch)
}

// appendForgotten encodes the partitions that the broker remembers and is not asked for any more.
func (s *session) appendForgotten(b []byte, asked int, whole bool) []byte {
	if whole || len(s.has) == asked {
		return append(b, 1)
	}
	b = binary.AppendUvarint(b, uint64(len(s.has)-asked)+1)
	for p, h := range s.has { // few: each as a topic of its own
		if h.round != s.round {
			delete(s.has, p)
			b = appendString(b, p.Topic)
			b = append(b, 2) // one partition
			b = binary.BigEndian.AppendUint32(b, uint32(p.ID))
			b = append(b, 0)
		}
	}
	return b
}
