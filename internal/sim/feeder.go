package sim

import (
	"github.com/seed-81380e12/limpet/core"
)

// feeder writes the input: records one by one, or some in a transaction, of which some are
// aborted.
type feeder struct {
	w       *world
	sc      *scenario
	written int
	txns    int
	cur     *txn
	left    int // records of cur
	aborts  bool
}

// input is one record of a scenario.
type input struct {
	topic      string
	key, value []byte
	at         core.Time
	partition  int32 // -1: by key
}

func (f *feeder) more() bool { return f.written < f.w.set.records || f.cur != nil }

// feed writes one record, or ends the transaction in hand.
func (f *feeder) feed() {
	w := f.w
	if f.cur != nil && (f.left == 0 || f.cur.state != txnOngoing) {
		if f.cur.state == txnOngoing { // it has not expired
			w.kafka.decide(f.cur, !f.aborts)
		}
		f.cur = nil
		return
	}
	if f.cur == nil && w.set.abortedFeed > 0 && w.chance(4) {
		f.txns++
		f.cur = w.kafka.begin(w.kafka.txnID("feeder" + string(rune('a'+f.txns%26))))
		if f.cur != nil {
			f.left, f.aborts = 1+w.rng.IntN(4), w.chance(w.set.abortedFeed)
			f.cur.feeder = true
		}
	}
	in := f.sc.next(w, f.written, f.cur != nil && f.aborts)
	k := w.kafka
	t := k.topics[in.topic]
	n := in.partition
	if n < 0 {
		n = core.HashPartition(in.key, t.Partitions)
	}
	r := core.RawRecord{Key: in.key, Value: in.value, Time: in.at}
	w.note("feed", in.topic, int64(n), int64(t.parts[n].end()))
	if w.deletion.done && w.deletion.name == in.topic || w.quiet.keeps(w, in.topic, n) {
		f.written++ // nobody writes to what was made anew, or is silent
		f.left--
		return
	}
	if f.cur != nil {
		f.cur.append(t.parts[n], []core.RawRecord{r})
		f.left--
	} else {
		t.parts[n].append(r, nil)
	}
	f.written++
}

// internal reports whether a topic is the application's own.
func (w *world) internal(topic string) bool {
	return len(topic) > len(app) && topic[:len(app)+1] == app+"-"
}
