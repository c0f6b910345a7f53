package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/allocated"
)

// logBatch makes a batch as it lies in a log.
func logBatch(t testing.TB, base int64, rs []core.RawRecord, who producerState, change func(b []byte)) []byte {
	t.Helper()
	w := &writer{}
	if len(rs) == 0 {
		rs = []core.RawRecord{{}}
		inner := change
		change = func(b []byte) {
			binary.BigEndian.PutUint32(b[57:], 0)
			if inner != nil {
				inner(b)
			}
		}
		b, err := w.append(nil, rs, who, 0)
		must(t, err)
		b = b[:headBytes]
		return seal(b, base, change)
	}
	b, err := w.append(nil, rs, who, 0)
	must(t, err)
	return seal(b, base, change)
}

func seal(b []byte, base int64, change func([]byte)) []byte {
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	if change != nil {
		change(b)
	}
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}

// marker is a control batch: kind 0 aborts, 1 commits.
func marker(t testing.TB, base int64, producer int64, kind byte) []byte {
	return logBatch(t, base, []core.RawRecord{{Key: []byte{0, 0, 0, kind}, Value: make([]byte, 6)}}, producerState{producer, 0, true},
		func(b []byte) { b[22] |= attrControl })
}

func offsets(rs []core.RawRecord) []core.Offset {
	var os []core.Offset
	for _, r := range rs {
		os = append(os, r.Offset)
	}
	return os
}

func TestDecode(t *testing.T) {
	plain, p1, p2 := producerState{-1, -1, false}, producerState{1, 0, true}, producerState{2, 0, true}
	var log []byte
	add := func(b []byte) { log = append(log, b...) }
	add(logBatch(t, 0, records(3, "a%d"), plain, nil))                                                              //                     0 1 2
	add(logBatch(t, 3, records(2, "b%d"), p1, nil))                                                                 // aborted             3 4
	add(logBatch(t, 5, records(2, "c%d"), p2, nil))                                                                 //                     5 6
	add(marker(t, 7, 1, 0))                                                                                         // p1 aborts           7
	add(logBatch(t, 8, records(1, "d%d"), p1, nil))                                                                 // its next one        8
	add(marker(t, 9, 2, 1))                                                                                         // p2 commits          9
	add(marker(t, 10, 1, 1))                                                                                        //                     10
	add(logBatch(t, 11, nil, p1, func(b []byte) { binary.BigEndian.PutUint32(b[23:], 8) }))                         // compacted away: 11-19
	add(logBatch(t, 20, records(2, "e%d"), plain, func(b []byte) { binary.BigEndian.PutUint32(b[23:], 9) }))        // compacted: 20 21, to 29
	add(logBatch(t, 30, records(1, "f%d"), p2, nil))                                                                // aborted   30
	add(logBatch(t, 31, records(1, "g%d"), plain, func(b []byte) { b[22] |= attrAppended; b[42] = 99; b[41] = 0 })) // 31
	txns := []aborted{{2, 30}, {1, 3}}
	want := []core.Offset{0, 1, 2, 5, 6, 8, 20, 21, 31}

	d := decoder{lease: new(lease)}
	got, err := d.decode(log, 0, slices.Clone(txns), math.MaxInt)
	must(t, err)
	if !slices.Equal(offsets(got.records), want) || got.next != 32 {
		t.Fatalf("%v, next %d", offsets(got.records), got.next)
	}
	if got.records[8].Time != 99 || got.records[7].Time != 1001 {
		t.Fatalf("times: %+v", got.records[7:])
	}
	if got.bytes < len(log) {
		t.Fatal(got.bytes)
	}
	// From anywhere, cut off anywhere: never too much, never out of order, and next says how far.
	for from := core.Offset(0); from <= 32; from++ {
		for cut := 0; cut <= len(log); cut += 7 {
			got, err := d.decode(log[:cut], from, slices.Clone(txns), math.MaxInt)
			must(t, err)
			var part []core.Offset
			for _, o := range want {
				if o >= from && o < got.next {
					part = append(part, o)
				}
			}
			if !slices.Equal(offsets(got.records), part) || got.next < from {
				t.Fatalf("from %d, %d bytes: %v, want %v, next %d", from, cut, offsets(got.records), part, got.next)
			}
		}
	}
	// Only what is left out: the position moves on all the same.
	got, err = d.decode(logBatch(t, 5, nil, plain, func(b []byte) { binary.BigEndian.PutUint32(b[23:], 9) }), 5, nil, math.MaxInt)
	if err != nil || len(got.records) != 0 || got.next != 15 || got.bytes != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err = d.decode(nil, 5, nil, math.MaxInt); err != nil || got.next != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestDecodeBroken(t *testing.T) {
	d := decoder{lease: new(lease)}
	good := logBatch(t, 0, records(3, "a%d"), producerState{}, nil)
	flipped := slices.Clone(good)
	flipped[len(flipped)-1] ^= 1
	if _, err := d.decode(flipped, 0, nil, math.MaxInt); !errors.Is(err, errCRC) {
		t.Error(err)
	}
	old := slices.Clone(good)
	old[16] = 1
	if _, err := d.decode(old, 0, nil, math.MaxInt); !errors.Is(err, errLegacy) {
		t.Error(err)
	}
	// Whatever the bytes, with a right checksum: an error, never a panic.
	rapid.Check(t, func(rt *rapid.T) {
		b := slices.Clone(good)
		for range rapid.IntRange(1, 5).Draw(rt, "n") {
			b[rapid.IntRange(21, len(b)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
		}
		b[22] &^= attrCodec
		_, _ = d.decode(seal(b, 0, nil), 0, nil, math.MaxInt)
	})
}

// Of compressed batches no more are read than may be held; the next fetch goes on behind them.
func TestDecodeBounded(t *testing.T) {
	w := &writer{codec: codecZstd}
	var log []byte
	for i := range 10 {
		rs := make([]core.RawRecord, 100)
		for j := range rs {
			rs[j].Value = bytes.Repeat([]byte{byte(i)}, 10_000)
		}
		b, err := w.append(nil, rs, producerState{-1, -1, false}, 0)
		must(t, err)
		log = append(log, seal(b, int64(100*i), nil)...)
	}
	d := decoder{lease: new(lease)}
	got, err := d.decode(log, 0, nil, 2_500_000)
	if err != nil || len(got.records) != 300 || got.next != 300 || got.bytes < 3_000_000 {
		t.Fatalf("%d records of %d bytes, next %d, %v", len(got.records), got.bytes, got.next, err)
	}
	n, from := 0, core.Offset(0)
	for from < 1000 {
		got, err := d.decode(log, from, nil, 1) // one at a time, if they are larger than may be
		if err != nil || len(got.records) != 100 || got.records[0].Offset != from {
			t.Fatalf("%d records, %v", len(got.records), err)
		}
		from, n = got.next, n+len(got.records)
	}
	if n != 1000 {
		t.Fatal(n)
	}
}

// What claims to be large is refused before there is memory for it, and offsets must rise.
func TestDecodeClaims(t *testing.T) {
	plain := producerState{-1, -1, false}
	claims := func(codec byte, body []byte, count uint32) []byte {
		b := logBatch(t, 7, records(2, "x%d"), plain, nil)
		return seal(append(b[:headBytes:headBytes], body...), 7, func(b []byte) {
			b[22] = codec
			binary.BigEndian.PutUint32(b[57:], count)
		})
	}
	block := binary.AppendUvarint(nil, 1<<32-1)
	xerial := append([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"), 0, 0, 0, byte(len(block)))
	zstd := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, 0, 0, 0, 0x0e, 0, 0, 0, 0, 1, 0, 0) // 224 MiB
	skipped := append([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, zstd...)                   // behind a frame that says nothing
	second := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 0x09, 0, 0, 'x'}, zstd...)      // behind one of a byte
	twice := logBatch(t, 0, records(3, "a%d"), plain, nil)
	d := decoder{lease: new(lease)}
	for name, log := range map[string][]byte{
		"snappy": claims(codecSnappy, block, 3), "xerial": claims(codecSnappy, append(xerial, block...), 3), "zstd": claims(codecZstd, zstd, 3),
		"zstd, a frame to skip": claims(codecZstd, skipped, 3), "zstd, the second frame": claims(codecZstd, second, 3),
		"records":             claims(codecNone, make([]byte, 100), 1<<31-1),
		"records, none":       claims(codecNone, make([]byte, 100), 1<<32-1),
		"records, compressed": claims(codecSnappy, snappyOf(make([]byte, 100)), 1<<31-1),
		"batches overlap":     append(slices.Clone(twice), twice...),
		"offsets stand still": seal(slices.Clone(twice), 0, func(b []byte) { b[headBytes+3+int(b[headBytes]/2)+1] = 0 }),
		"offset beyond":       seal(slices.Clone(twice), 0, func(b []byte) { binary.BigEndian.PutUint32(b[23:], 1) }),
		"last before first":   seal(slices.Clone(twice), 0, func(b []byte) { binary.BigEndian.PutUint32(b[23:], 1<<32-1) }),
	} {
		from := core.Offset(0)
		var err error
		allocated.Within(t, name, 64<<10, func() { _, err = d.decode(log, from, nil, math.MaxInt) })
		if name == "last before first" { // its end is behind us
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "offset") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func snappyOf(b []byte) []byte {
	var d deflater
	out, _ := d.deflate(codecSnappy, nil, b)
	return out
}

func TestRoundTrip(t *testing.T) {
	some := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
	record := rapid.Custom(func(t *rapid.T) core.RawRecord {
		r := core.RawRecord{Key: some.Draw(t, "key"), Value: some.Draw(t, "value"), Time: core.Time(rapid.Int64Range(0, 1<<45).Draw(t, "time"))}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			r.Headers = core.AppendHeader(r.Headers, rapid.String().Draw(t, "name"), rapid.String().Draw(t, "value"))
		}
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		codec := rapid.Int8Range(0, 4).Draw(t, "codec")
		w, d := &writer{codec: codec}, decoder{lease: new(lease)}
		rs := rapid.SliceOfN(record, 1, 300).Draw(t, "records")
		b, err := w.append(nil, rs, producerState{7, 1, true}, math.MaxInt32)
		if err != nil {
			t.Fatal(err)
		}
		size := headBytes
		for i := range rs {
			n := recordSize(&rs[i], i, rs[0].Time)
			size += n + varintLen(int64(n))
		}
		if codec == codecNone && size != len(b) {
			t.Fatalf("%d bytes, said %d", len(b), size)
		}
		got, err := d.decode(b, 0, nil, math.MaxInt)
		if err != nil || len(got.records) != len(rs) || got.next != core.Offset(len(rs)) {
			t.Fatal(len(got.records), err)
		}
		for i, r := range got.records {
			same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
			if !same(r.Key, rs[i].Key) || !same(r.Value, rs[i].Value) || !bytes.Equal(r.Headers, rs[i].Headers) || r.Time != rs[i].Time || r.Offset != core.Offset(i) {
				t.Fatalf("%d: %+v, was %+v", i, r, rs[i])
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for name, codec := range map[string]int8{"none": codecNone, "lz4": codecLZ4, "zstd": codecZstd} {
		b.Run(name, func(b *testing.B) {
			rs := make([]core.RawRecord, 5000)
			for i := range rs {
				rs[i] = core.RawRecord{Key: binary.BigEndian.AppendUint64(nil, uint64(i)*0x9E3779B97F4A7C15), Value: bytes.Repeat([]byte{byte(i), byte(i >> 8), 'x', 'y'}, 25), Time: core.Time(i)}
			}
			w := &writer{codec: codec}
			log, err := w.append(nil, rs, producerState{1, 0, true}, 0)
			must(b, err)
			d := decoder{lease: new(lease)}
			b.ReportAllocs()
			for b.Loop() {
				got, err := d.decode(log, 0, nil, math.MaxInt)
				if err != nil || len(got.records) != len(rs) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rs)), "ns/record")
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	rs := make([]core.RawRecord, 5000)
	for i := range rs {
		rs[i] = core.RawRecord{Key: make([]byte, 16), Value: make([]byte, 100), Time: core.Time(i)}
	}
	p := &outPart{batch: nil}
	w := &writer{}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		p.chunks = p.chunks[:0]
		var err error
		if buf, err = w.append(buf[:0], rs, producerState{1, 0, true}, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rs)), "ns/record")
}
