package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

var (
	raws    = topology.NewTopic("raws", codec.String, codec.JSON[raw]())
	results = topology.NewTopic("results", codec.String, codec.String)
	tallies = topology.NewTopic("tallies", codec.String, codec.Int64)
)

// raw is a record of which some fail: Size is that of its result.
type raw struct {
	Text   string
	Size   int
	Panics bool
}

// bigRecord is what a record batch of one record may have in the topic of results.
const bigRecord = 400

// poison counts records, and passes them on; some do not decode, some make a function panic,
// some lead to a result that is too large: before they were counted or behind it. They go to
// the dead letters, or nowhere, and nothing of them may stay.
var poison = scenario{
	name: "poison",
	build: func(w *world) *topology.Builder {
		b := topology.New(app)
		in := raws.Stream(b, w.onError())
		check := func(s topology.Stream[string, raw]) topology.Stream[string, raw] {
			return topology.Map(s, func(r raw) raw {
				if r.Panics {
					panic(r.Text)
				}
				return r
			}, topology.Named("check"))
		}
		pad := func(r raw) string { return r.Text + strings.Repeat(".", r.Size) }
		if w.chance(2) { // in front of effects: but what is too large
			in = check(in)
			topology.Count(in, "tally").To(tallies)
		} else {
			topology.Count(in, "tally").To(tallies)
			in = check(in)
		}
		topology.Map(in, pad, topology.Named("pad")).To(results)
		return b
	},
	topics: func(w *world) {
		w.make("raws", "tallies")
		known := bigRecord
		if !w.chance(3) { // the broker takes less than the topic says
			known = 1 << 20
		}
		t := w.kafka.create(shell.Topic{Name: "results", Partitions: w.set.partitions, Config: map[string]string{"max.message.bytes": fmt.Sprint(known)}})
		t.most = bigRecord
	},
	next: func(w *world, n int, aborted bool) input {
		r := raw{Text: fmt.Sprint("t", n)}
		switch w.rng.IntN(12) {
		case 0:
			r.Panics = true
		case 1:
			r.Size = bigRecord + w.rng.IntN(200)
		case 2:
			r.Size = w.rng.IntN(bigRecord / 2)
		}
		v := mustJSON(r)
		if w.chance(12) {
			v = fmt.Append(nil, "no JSON ", n)
		}
		if aborted {
			v = []byte("aborted")
		}
		return input{"raws", fmt.Append(nil, "k", w.rng.IntN(4)), v, epoch + core.Time(n), -1}
	},
	model: func(w *world) error {
		var want, bad []string
		tally, got := map[string]int64{}, map[string]int64{}
		_, values := raws.Codecs()
		for _, r := range w.history("raws") {
			v, err := values.Decode(r.Value)
			if err != nil || v.Panics || v.Size >= bigRecord {
				bad = append(bad, string(r.Value))
				continue
			}
			want = append(want, v.Text+strings.Repeat(".", v.Size))
			tally[string(r.Key)]++
		}
		for _, r := range w.history("tallies") {
			k, n := string(r.Key), int64(binary.BigEndian.Uint64(r.Value))
			if got[k]++; n != got[k] {
				return fmt.Errorf("%s: %d comes where %d is next", k, n, got[k])
			}
		}
		for k, n := range tally {
			if got[k] != n {
				return fmt.Errorf("%s: counted up to %d of %d", k, got[k], n)
			}
		}
		if w.deadLetters {
			if err := sameValues(w.history(app+deadLetterSuffix), bad); err != nil {
				return fmt.Errorf("dead letters: %w", err)
			}
		}
		return sameValues(w.history("results"), want)
	},
	says: "records that fail are in the dead letters, and have no other effect",
}

const deadLetterSuffix = "-dead-letter"

// onError draws where what fails goes: to the dead letters, or nowhere.
func (w *world) onError() topology.SourceOption {
	if w.deadLetters = w.chance(2); w.deadLetters {
		return topology.OnError(topology.DeadLetter)
	}
	return topology.OnError(topology.Skip)
}

// wireSize is the size of a record batch of one record, as the broker counts it.
func wireSize(r *core.RawRecord) int {
	varint := func(n int) int { return len(binary.AppendVarint(nil, int64(n))) }
	n := 3 + varint(len(r.Key)) + len(r.Key) + varint(len(r.Value)) + len(r.Value) + varint(core.HeadersOf(r.Headers).Count()) + len(r.Headers)
	return 61 + varint(n) + n
}

// refused is why a broker does not take one of the batches, if it does not.
func (k *kafka) refused(bs []*shell.ProduceBatch, which []int) error {
	for _, i := range which {
		t := k.topics[bs[i].Topic]
		if t.most == 0 {
			continue
		}
		for n := range bs[i].Records {
			if size := wireSize(&bs[i].Records[n]); size > t.most {
				invariant.Sometimes("sim: a record is too large for a broker")
				return &shell.SizeError{Partition: bs[i].Partition, Records: 1, Bytes: size, Err: errRefused}
			}
		}
	}
	return nil
}

// sameHeaders compares a record's headers with those of a fresh run. Of a dead letter's the
// stack and the text differ, which say where a limit was known from.
func sameHeaders(topic string, a, b []byte) bool {
	if !strings.HasSuffix(topic, deadLetterSuffix) {
		return bytes.Equal(a, b)
	}
	for _, h := range [...]string{core.HeaderReason, core.HeaderTopic, core.HeaderPartition, core.HeaderOffset, core.HeaderNode, core.HeaderTask, core.HeaderTime} {
		x, ok := core.HeadersOf(a).Get(h)
		y, also := core.HeadersOf(b).Get(h)
		if !ok || !also || x != y {
			return false
		}
	}
	x, ok := core.HeadersOf(a).Get(core.HeaderHeldBy) // of what an operator has held
	y, also := core.HeadersOf(b).Get(core.HeaderHeldBy)
	return ok == also && x == y
}
