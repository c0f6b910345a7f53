package workload

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
)

// The kinds of work.
const (
	Passthrough = "passthrough" // a filter that keeps everything
	Count       = "count"       // per key; out: key, count as 8 bytes big endian, every update
	Window      = "window"      // the same in tumbling minutes; out: key, window start in ms and count, 8 bytes each
	Join        = "join"        // orders with customers, JSON; out: key, email
	StreamJoin  = "streamjoin"  // pairs of two streams within a minute; out: key, 4 bytes of each
	Nexmark     = "nexmark-q"   // and the number of a query of examples/nexmark
)

// Workload is a topic's content and what is done with it.
type Workload struct {
	Name       string
	Kind       string
	Records    int
	Keys       int
	Zipf       float64 // exponent; 0 is uniform
	Value      int     // bytes
	PerMs      int     // records in each millisecond of their time; 0: a thousand
	Partitions int32
	Seed       uint64
}

// keyBytes is the size of a key.
const keyBytes = 16

// epoch is the time of the first record, the beginning of a minute.
var epoch = time.UnixMilli(1_700_000_040_000)

// at is the time of the record number seq.
func (w *Workload) at(seq uint32) time.Time {
	per := w.PerMs
	if per == 0 {
		per = 1000
	}
	return epoch.Add(time.Duration(int(seq)/per) * time.Millisecond)
}

func appendKey(b []byte, id uint32) []byte {
	b = append(b, "customer"...)
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[id>>shift&15])
	}
	return b
}

func keyID(b []byte) (uint32, error) {
	if len(b) != keyBytes {
		return 0, fmt.Errorf("key %q has %d bytes", b, len(b))
	}
	id, err := strconv.ParseUint(string(b[8:]), 16, 32)
	return uint32(id), err
}

// appendValue appends the value of the record number seq, which has the key id.
func (w *Workload) appendValue(b []byte, id, seq uint32) []byte {
	if w.Kind == Join {
		return w.appendOrder(b, id, seq)
	}
	const text = `{"orderId":"o-000000","sku":"book-4711","quantity":2,"cents":1999,"currency":"EUR","channel":"web",`
	b = binary.BigEndian.AppendUint32(b, seq)
	for left := w.Value - 4; left > 0; left -= len(text) {
		b = append(b, text[:min(left, len(text))]...)
	}
	return b
}

// keys draws the key of each record.
func (w *Workload) keys() func() uint32 {
	r := rand.New(rand.NewPCG(w.Seed, 42))
	if w.Zipf > 0 {
		// A permutation, so that frequent keys are not neighbours.
		ids := r.Perm(w.Keys)
		z := rand.NewZipf(r, w.Zipf, 1, uint64(w.Keys-1))
		return func() uint32 { return uint32(ids[z.Uint64()]) }
	}
	return func() uint32 { return uint32(r.IntN(w.Keys)) }
}

// Filled is a topic with a workload's records: what is in each partition, in order.
type Filled struct {
	*Workload
	Topic string
	ids   [][]uint32 // by partition: the records' keys
	seqs  [][]uint32 // by partition: the records' numbers
}

// Fill creates the topic and writes the records.
func (w *Workload) Fill(ctx context.Context, c *cluster.Cluster, topic string) (*Filled, error) {
	if err := c.Create(ctx, topic, w.Partitions, map[string]string{"retention.ms": "-1"}); err != nil {
		return nil, err
	}
	cl, err := writer(c)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	f := &Filled{Workload: w, Topic: topic, ids: make([][]uint32, w.Partitions), seqs: make([][]uint32, w.Partitions)}
	next := w.keys()
	var once sync.Once
	var failed error
	for seq := range uint32(w.Records) {
		id := next()
		buf := make([]byte, 0, keyBytes+w.Value)
		buf = appendKey(buf, id)
		p := Partition(buf, w.Partitions)
		buf = w.appendValue(buf, id, seq)
		f.ids[p], f.seqs[p] = append(f.ids[p], id), append(f.seqs[p], seq)
		cl.Produce(ctx, &kgo.Record{
			Topic: topic, Partition: p, Key: buf[:keyBytes], Value: buf[keyBytes:],
			Timestamp: w.at(seq),
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return nil, err
	}
	return f, failed
}

// More adds a record to each partition, of a key that is there.
func (f *Filled) More(ctx context.Context, c *cluster.Cluster) error {
	cl, err := writer(c)
	if err != nil {
		return err
	}
	defer cl.Close()
	for p := range f.ids {
		if len(f.ids[p]) == 0 {
			continue
		}
		id, seq := f.ids[p][0], uint32(f.Records)
		key := appendKey(nil, id)
		r := &kgo.Record{Topic: f.Topic, Partition: int32(p), Key: key, Value: f.appendValue(nil, id, seq), Timestamp: f.at(seq)}
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			return err
		}
		f.ids[p], f.seqs[p] = append(f.ids[p], id), append(f.seqs[p], seq)
		f.Records++
	}
	return nil
}

// writer sends 500 records a batch or so: about what a producer under load does.
func writer(c *cluster.Cluster) (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(64<<10),
		kgo.ProducerLinger(50*time.Millisecond), kgo.MaxBufferedRecords(200_000))
}

// partitioner hashes keys as Java's producer does.
var partitioner = kgo.KafkaHasher(murmur2)

// Partition is the partition of a key.
func Partition(key []byte, partitions int32) int32 { return int32(partitioner(key, int(partitions))) }

// murmur2 is the 32-bit hash that Kafka's default partitioner uses.
func murmur2(b []byte) uint32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := binary.LittleEndian.Uint32(b) * m
		h = h*m ^ (k^k>>24)*m
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(b[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
