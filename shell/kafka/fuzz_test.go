package kafka

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/klauspost/compress/zstd"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/allocated"
	"github.com/seed-81380e12/limpet/internal/placed"
	"github.com/seed-81380e12/limpet/shell"
)

// What brokers, producers and other members send: each decoder reads it or says why not, without a
// panic and with memory in proportion.

// The body of a batch, in each compression, behind a head with a right checksum.
func FuzzBatch(f *testing.F) {
	rs := []core.RawRecord{{Key: []byte("k"), Value: []byte("v"), Time: 5, Headers: core.AppendHeader(nil, "h", "v")}, {Value: []byte{}, Time: 6}, {Key: []byte{}, Time: 4}}
	for codec := range int8(5) {
		w := &writer{codec: codec}
		b, err := w.append(nil, rs, producerState{7, 1, true}, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(codec), b[headBytes:], uint32(len(rs)), uint32(len(rs)-1), int64(0))
	}
	f.Add(byte(codecSnappy), []byte("\xff\xff\xff\xff\x0f"), uint32(1<<31-1), uint32(2), int64(0))
	f.Fuzz(func(t *testing.T, attrs byte, body []byte, count, last uint32, from int64) {
		b := make([]byte, headBytes, headBytes+len(body))
		b[16], b[22] = 2, attrs
		binary.BigEndian.PutUint32(b[23:], last)
		binary.BigEndian.PutUint32(b[57:], count)
		b = seal(append(b, body...), 0, nil)
		whole := slices.Clone(b)
		var got decoded
		var err error
		// What is compressed may truly be large; what it claims is another matter.
		most := allocated.For(len(b))
		switch attrs & attrCodec {
		case codecGzip, codecLZ4, codecZstd:
			// What so many bytes can truly become, as it grows, and the codec's own buffers.
			most += uint64(16<<20 + min(4*inflatedMax, 4*zstdRatio*len(b)))
		case codecSnappy:
			most = allocated.For(snappyRatio * len(b))
		}
		allocated.Within(t, fmt.Sprintf("%d bytes of codec %d", len(b), attrs&attrCodec), most, func() {
			d := decoder{lease: new(lease)}
			defer d.inflater.close()
			got, err = d.decode(b, core.Offset(from), []aborted{{1, 2}}, math.MaxInt)
		})
		if !bytes.Equal(b, whole) {
			t.Fatal("the bytes of the batch were changed")
		}
		if err != nil {
			if !bytes.Contains([]byte(err.Error()), []byte("offset")) {
				t.Fatalf("it does not say where: %v", err)
			}
			return
		}
		if b, _ := cutBatch(whole); attrs&attrCodec != codecNone && attrs&attrControl == 0 && len(got.records) > 0 {
			if some, _ := piecesFrom(t, b, core.Offset(from), 1000+got.bytes/4); !reflect.DeepEqual(some, got.records) {
				t.Fatal("in pieces it has other records")
			}
		}
		before := core.Offset(from - 1)
		for _, r := range got.records {
			if r.Offset <= before || r.Offset >= got.next {
				t.Fatalf("offset %d behind %d, next is %d", r.Offset, before, got.next)
			}
			before = r.Offset
			for range core.HeadersOf(r.Headers).All() {
			}
		}
	})
}

// What is decompressed as a whole comes bit by bit as well, and is the same.
func FuzzInflate(f *testing.F) {
	for codec := codecGzip; codec <= codecZstd; codec++ {
		for _, n := range []int{0, 1, 300, 70_000} {
			var d deflater
			b, err := d.deflate(int8(codec), nil, bytes.Repeat([]byte("abc"), n))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(codec), b)
		}
	}
	f.Fuzz(func(t *testing.T, codec byte, src []byte) {
		codec &= attrCodec
		var d inflater
		defer d.close()
		whole, err := d.inflate(int(codec), nil, src, 1<<20)
		if err != nil {
			return
		}
		r, err := d.reader(int(codec), src)
		if c, ok := r.(*zstd.Decoder); ok {
			defer c.Close()
		}
		some := make([]byte, len(whole))
		if err == nil {
			_, err = io.ReadFull(r, some)
		}
		if err != nil || !bytes.Equal(some, whole) {
			t.Fatalf("codec %d: other bytes, or an error: %v", codec, err)
		}
	})
}

// The answer to a Fetch and to a Produce request.
func FuzzAnswers(f *testing.F) {
	part := func(b []byte) []byte { // of a fetch, with no records
		b = binary.BigEndian.AppendUint32(b, 0) // partition
		b = append(b, 0, 0)
		b = binary.BigEndian.AppendUint64(b, 9)
		b = binary.BigEndian.AppendUint64(b, 9)
		b = binary.BigEndian.AppendUint64(b, 0)
		b = append(b, 2)                                     // one aborted transaction
		b = append(b, make([]byte, 16)...)                   //
		return append(b, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0) // no replica, no records, tags
	}
	fetched := append(make([]byte, 4+2+4), 2, 3, 'i', 'n', 2)
	fetched = append(part(fetched), 0, 0)
	f.Add(fetched)
	f.Add(append([]byte{2, 3, 'i', 'n', 2}, make([]byte, 40)...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) {
		one := shell.Partition{Topic: "in"}
		b := &Broker{cfg: Config{BatchBytes: 1 << 10}}
		answer := func() *conn {
			c := &conn{net: nowhere{}, got: 0, limit: time.Second}
			raw := binary.BigEndian.AppendUint32(nil, uint32(4+1+len(body)))
			raw = append(binary.BigEndian.AppendUint32(raw, 1), 0) // correlation id, tags
			c.r = bufio.NewReader(bytes.NewReader(append(raw, body...)))
			return c
		}
		allocated.Within(t, "fetch", 4*inflatedMax, func() {
			n := &fetchNode{f: &fetcher{b: b, cfg: shell.FetchConfig{PartitionBytes: 1 << 20, BufferBytes: 1 << 20}}, conn: answer()}
			n.asked = []asked{{fetchPart: &fetchPart{Partition: one}, max: 1 << 20}}
			saysWhere(t, n.poll(0), len(body))
			n.dec.inflater.close()
		})
		allocated.Within(t, "produce", allocated.For(len(body)), func() {
			op := &outPart{Partition: one, batch: &shell.ProduceBatch{Partition: one, Records: make([]core.RawRecord, 2)}, chunks: make([]chunk, 1)}
			n := &outNode{p: &producer{b: b}, conn: answer(), inflight: [][]sentChunk{{{op, 0}}}}
			saysWhere(t, n.receive(), len(body))
		})
	})
}

// saysWhere wants the position of what is no answer, behind the five bytes of its head.
func saysWhere(t *testing.T, err error, n int) {
	t.Helper()
	if errors.Is(err, errFrame) {
		placed.Error(t, err, 5+n)
	}
}

// What members of a group say of themselves, and what the leader tells them.
func FuzzMembers(f *testing.F) {
	told, _ := json.Marshal(subscription{V: 1, ID: "app-1-0", Gen: 3, IDs: []string{"app-2-0"}, Gone: []string{"x"}, Done: []string{"y"}, Disk: []core.TaskID{{Partition: 1}}})
	given, _ := json.Marshal(assignment{V: 1, IDs: []string{"app-1-0"}, Gone: []string{"x"}, Gains: true, Parts: map[string]int32{"in": 2}})
	f.Add(told, given, "in", int32(1))
	f.Add([]byte("AQAB"), []byte(`{"v":1,"parts":{"in":-1}}`), "", int32(-1))
	f.Fuzz(func(t *testing.T, user, given []byte, topic string, owned int32) {
		s := &strategy{id: "app-0-0", sources: [][]string{{"in"}, {"other"}}, fence: func(string) bool { return true }, assigned: func(assignment) {}}
		topics := map[string][]int32{"in": {0, 1, 2}, "other": {0, 1}}
		members := map[string]sarama.ConsumerGroupMemberMetadata{
			"strange": {Topics: []string{"in", "other"}, UserData: user, GenerationID: 3, OwnedPartitions: []*sarama.OwnedPartition{{Topic: topic, Partitions: []int32{owned, owned}}}},
			"mine":    {Topics: []string{"in", "other"}},
		}
		var plan sarama.BalanceStrategyPlan
		var err error
		allocated.Within(t, "Plan", allocated.For(len(user)+len(topic)), func() { plan, err = s.Plan(members, topics) })
		if err != nil {
			t.Fatal(err)
		}
		// Whatever they say, no partition is given to two.
		given2 := map[shell.Partition]string{}
		for m, ts := range plan {
			for topic, parts := range ts {
				for _, p := range parts {
					x := shell.Partition{Topic: topic, ID: p}
					if other, ok := given2[x]; ok {
						t.Fatalf("%v is given to %s and to %s", x, other, m)
					}
					given2[x] = m
				}
			}
			if _, err := s.AssignmentData(m, ts, 1); err != nil {
				t.Fatal(err)
			}
		}
		allocated.Within(t, "OnAssignment", allocated.For(len(given)), func() {
			s.OnAssignment(&sarama.ConsumerGroupMemberAssignment{UserData: given}, 4)
		})
		if slices.Contains(s.done, s.id) {
			t.Fatal("it fenced itself")
		}
		if _, err := s.SubscriptionUserData(nil); err != nil {
			t.Fatal(err)
		}
	})
}

// nowhere is a connection whose bytes come from elsewhere.
type nowhere struct{ net.Conn }

func (nowhere) Write(b []byte) (int, error)      { return len(b), nil }
func (nowhere) SetReadDeadline(time.Time) error  { return nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }
func (nowhere) Close() error                     { return nil }
