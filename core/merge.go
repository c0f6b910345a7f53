package core

import "fmt"

// Which record is next: of the sources that have records waiting, the one whose next
// record is the oldest; of equal times the source with the lower id, and within a
// source the order of offsets (Kafka Streams' PartitionGroup). A source that has none
// waiting holds all others up, unless its last batch said that it had caught up: so a
// table is as new as the records that are joined to it, as far as the log is known
// (max.task.idle.ms = 0, KIP-695).
//
// What is known of the log, and when, is not the task's to know: it comes with the
// batches, so the order of records is a function of the sequence of Step calls.

// source is one input of the task: its chain and the batches that wait.
type source struct {
	topic string
	node  NodeID
	step  func(*Tx, *RawRecord)
	queue []*Batch
	pos   int // of the next record in queue[0]
	next  Offset
	tail  Offset // behind the last batch
	// timeOf is the time of a record; nil: its own.
	timeOf   func(*Batch, *RawRecord) Time
	arrival  bool   // its time is that of the arrival, which is an input
	noted    Time   // the arrival that the commit knows,
	notedIn  uint64 // if it is of this generation, plus one
	bytes    int
	caughtUp bool
	// What Keeps says: by keys, by values, and by the rows of a table.
	keepsKeys, keepsValues, keepsRows bool

	near  []near // tables in which records look up their own keys
	asked int    // up to which record of queue[0] they were asked
}

// addSource attaches the next source of t.
func (t *Task) addSource(topic string, n NodeID, step func(*Tx, *RawRecord)) *source {
	s := source{topic: topic, node: n, step: step}
	if n := len(t.sources); n < len(t.cfg.Resume) {
		s.next = t.cfg.Resume[n]
	}
	s.tail = s.next
	t.sources = append(t.sources, s)
	t.committed = append(t.committed, s.next)
	return &t.sources[len(t.sources)-1]
}

func (s *source) reset(next Offset) {
	clear(s.queue)
	s.queue, s.pos, s.asked, s.bytes, s.caughtUp = s.queue[:0], 0, 0, 0, false
	s.next, s.tail = next, next
}

// enqueue checks that b follows what came before and puts it behind.
func (t *Task) enqueue(b *Batch) error {
	if b.Source < 0 || int(b.Source) >= len(t.sources) {
		return fmt.Errorf("%w: task %v has no source %d", ErrInput, t.cfg.ID, b.Source)
	}
	s := &t.sources[b.Source]
	at := s.tail
	for i := range b.Records {
		if o := b.Records[i].Offset; o < at {
			return fmt.Errorf("%w: task %v, topic %s: offset %d where %d or more was expected", ErrInput, t.cfg.ID, s.topic, o, at)
		}
		at = b.Records[i].Offset + 1
	}
	if b.Next < at {
		return fmt.Errorf("%w: task %v, topic %s: batch ends at %d, before its records at %d", ErrInput, t.cfg.ID, s.topic, b.Next, at)
	}
	s.tail, s.caughtUp = b.Next, b.CaughtUp
	s.bytes += b.Size()
	if len(t.alone) > 0 {
		s.queue = append(s.queue, t.alone.part(b)...)
	} else {
		s.queue = append(s.queue, b)
	}
	s.settle()
	return nil
}

// settle takes consumed batches off the queue. Where nothing waits, the source has
// moved to the end of its last batch: behind control records, say.
func (s *source) settle() {
	for len(s.queue) > 0 && s.pos == len(s.queue[0].Records) {
		s.next = s.queue[0].Next
		n := copy(s.queue, s.queue[1:])
		s.queue[n], s.queue, s.pos, s.asked = nil, s.queue[:n], 0, 0
	}
}

func (s *source) head() *RawRecord { return &s.queue[0].Records[s.pos] }

func (s *source) headTime() Time {
	if s.timeOf != nil {
		return s.timeOf(s.queue[0], s.head())
	}
	return s.head().Time
}

// run steps records until a source must be waited for.
func (t *Task) run() {
	for {
		best, last, ok := t.choose()
		if !ok {
			return
		}
		if t.runSource(best, last); t.tx.err != nil || t.left == 0 || t.held {
			return
		}
	}
}

// choose picks the source to step, and up to when: the last time at which its next record
// still comes before those of all other sources.
func (t *Task) choose() (best SourceID, last Time, ok bool) {
	best, last = -1, maxTime
	var at Time
	for i := range t.sources {
		s := &t.sources[i]
		if len(s.queue) == 0 {
			if !s.caughtUp {
				return 0, 0, false
			}
			continue
		}
		switch h := s.headTime(); {
		case best < 0:
			best, at = SourceID(i), h
		case h < at:
			last, best, at = at-1, SourceID(i), h // the earlier source wins ties
		default:
			last = min(last, h) // this one wins ties
		}
	}
	return best, last, best >= 0
}

// runSource steps records of one source while they are not younger than last.
func (t *Task) runSource(id SourceID, last Time) {
	s := &t.sources[id]
	tx := &t.tx
	tx.source, t.from = id, t.left
	tx.learns = true // by the first record
	for len(s.queue) > 0 {
		b := s.queue[0]
		if t.holds(id, &b.Records[s.pos]) {
			t.held = true
			break
		}
		if s.arrival {
			t.noteArrival(id, s, b)
		}
		for s.pos < len(b.Records) {
			r := &b.Records[s.pos]
			at := r.Time
			if s.timeOf != nil {
				at = s.timeOf(b, r)
			}
			if at > last || t.left == 0 {
				tx.c.took(id, int64(t.from-t.left))
				return
			}
			if s.pos >= s.asked && len(s.near) > 0 {
				s.ask()
			}
			t.stepped = true
			tx.offset, tx.at = r.Offset, at
			tx.index, tx.letGone, tx.within, tx.failed = 0, 0, 0, 0 // side by side: two stores
			tx.outputs, tx.writes = len(tx.c.Outputs), t.writes
			if t.careful {
				t.begin()
			}
			if at < 0 {
				tx.fail(s.node, fmt.Errorf("%w: %d", ErrTime, at))
			} else {
				s.step(tx, r)
			}
			t.settled()
			tx.learns = false
			if tx.err != nil {
				switch t.forgive() {
				case thenStop:
					return
				case thenAgain:
					continue
				}
			} else {
				t.times.stream = max(t.times.stream, at)
				if len(t.without.list) > 0 {
					t.leftOut()
				}
			}
			t.behind(s, r)
		}
		s.settle()
	}
	tx.c.took(id, int64(t.from-t.left))
}

// noteArrival makes the time of a batch's arrival a part of the commit.
func (t *Task) noteArrival(id SourceID, s *source, b *Batch) {
	if s.notedIn == t.gen+1 && s.noted == b.Arrived {
		return
	}
	s.noted, s.notedIn = b.Arrived, t.gen+1
	t.tx.c.took(id, int64(t.from-t.left))
	t.from = t.left
	t.tx.c.Decisions = append(t.tx.c.Decisions, Decision{Source: ArrivalOf(id), N: int64(b.Arrived)})
}

// behind goes on behind r, the next record of s.
func (t *Task) behind(s *source, r *RawRecord) {
	t.left--
	s.pos++
	s.next = r.Offset + 1
	s.bytes -= r.Size()
}
