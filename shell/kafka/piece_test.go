package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/allocated"
)

// pieces decodes a log that has one batch, as one fetch after the other would, and tells how many it took.
func pieces(t *testing.T, log []byte, size int) (all []core.RawRecord, fetches int) {
	t.Helper()
	b, _ := cutBatch(log)
	return piecesFrom(t, b, 0, size)
}

func piecesFrom(t *testing.T, b batch, from core.Offset, size int) (all []core.RawRecord, fetches int) {
	t.Helper()
	var d decoder
	defer d.inflater.close()
	for out := (decoded{next: from}); ; {
		d.lease = new(lease)
		from := out.next
		out = decoded{next: from}
		whole, err := d.inflated(&out, b, from, size)
		must(t, err)
		all = append(all, out.records...)
		if fetches++; whole {
			return all, fetches
		}
		if held := out.bytes + len(out.records)*recordBytes; len(out.records) > 1 && held > size {
			t.Fatalf("a piece of %d records takes %d bytes, of %d", len(out.records), held, size)
		}
	}
}

// A compressed batch that takes more than may be held comes in pieces: the same records, whatever the
// codec and the size.
func TestPieces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	rs := make([]core.RawRecord, 3000)
	for i := range rs {
		rs[i] = core.RawRecord{Key: fmt.Appendf(nil, "key %d", i), Value: bytes.Repeat([]byte{byte(i)}, rnd.IntN(200)), Time: core.Time(1000 + rnd.IntN(50))}
		if i%7 == 0 {
			rs[i].Headers = core.AppendHeader(nil, "h", "v")
		}
	}
	rs[100].Value = make([]byte, 70_000) // more than is decompressed at once
	rs[2000].Value = make([]byte, 2*pieceMin+1)
	for codec := codecGzip; codec <= codecZstd; codec++ {
		w := &writer{codec: int8(codec)}
		log, err := w.append(nil, rs, producerState{7, 1, true}, 0)
		must(t, err)
		d := decoder{lease: new(lease)}
		want, err := d.decode(log, 0, nil, math.MaxInt)
		must(t, err)
		if len(want.records) != len(rs) {
			t.Fatal(len(want.records))
		}
		for size, most := range map[int]int{1: len(rs), 1000: len(rs), 100_000: 40, 1 << 20: 4, 3 << 20: 1} {
			got, n := pieces(t, log, size)
			if !reflect.DeepEqual(got, want.records) {
				t.Errorf("codec %d, pieces of %d: other records", codec, size)
			}
			if n > most || size == 1 && n != len(rs) || size == 1<<20 && n < 3 {
				t.Errorf("codec %d, pieces of %d: %d of them", codec, size, n)
			}
		}
	}
}

// Plain snappy is one block, which is decompressed as a whole; its records come in pieces all the same.
func TestPiecesOfOneBlock(t *testing.T) {
	rs := records(1000, "value %d")
	log := logBatch(t, 0, rs, producerState{-1, -1, false}, nil)
	body := snappy.Encode(nil, log[headBytes:])
	log = seal(append(log[:headBytes:headBytes], body...), 0, func(b []byte) { b[22] = codecSnappy })
	got, n := pieces(t, log, 10_000)
	if len(got) != len(rs) || n < 10 || !slices.IsSortedFunc(got, func(a, b core.RawRecord) int { return int(a.Offset - b.Offset) }) {
		t.Fatal(len(got), n)
	}
}

// A frame of zstd may ask for more memory than it needs: whether it is read must not depend on whether
// it comes as a whole, which takes no window.
func TestPiecesOfWindows(t *testing.T) {
	rs := records(100, "value %d")
	log := logBatch(t, 0, rs, producerState{-1, -1, false}, nil)
	plain := log[headBytes:]
	for _, window := range []struct {
		descriptor byte // exponent above 10, mantissa: RFC 8878, 3.1.1.1.2
		refused    bool
	}{{13 << 3, false}, {17 << 3, false}, {17<<3 | 1, true}, {19 << 3, true}, {31<<3 | 7, true}} {
		body := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, window.descriptor}, byte(len(plain)<<3|1), byte(len(plain)>>5), byte(len(plain)>>13))
		log := seal(append(append(log[:headBytes:headBytes], body...), plain...), 0, func(b []byte) { b[22] = codecZstd })
		for _, size := range []int{1000, math.MaxInt} {
			d := decoder{lease: new(lease)}
			b, _ := cutBatch(log)
			out := decoded{}
			_, err := d.inflated(&out, b, 0, min(size, inflatedMax))
			d.inflater.close()
			if refused := errors.Is(err, zstd.ErrWindowSizeExceeded); refused != window.refused || !refused && (err != nil || len(out.records) == 0) {
				t.Errorf("window %#x, at most %d bytes: %d records, %v", window.descriptor, size, len(out.records), err)
			}
		}
	}
}

// What so few bytes become does not fit into memory: no fetch takes more than its piece.
func TestPiecesAreBounded(t *testing.T) {
	const size = 1 << 20
	value := make([]byte, 10_000)
	rs := make([]core.RawRecord, 20_000) // 200 MB
	for i := range rs {
		rs[i].Value = value
	}
	for codec := codecGzip; codec <= codecZstd; codec++ {
		w := &writer{codec: int8(codec)}
		log, err := w.append(nil, rs, producerState{7, 1, true}, 0)
		must(t, err)
		from, n := core.Offset(0), 0
		for range 5 {
			d := decoder{lease: new(lease)}
			// The piece, what it grew through, and what the codec keeps; twice, as the first try was to take it whole.
			allocated.Within(t, fmt.Sprint("codec ", codec), 24<<20, func() {
				got, err := d.decode(log, from, nil, 1)
				must(t, err)
				if got.bytes > len(log)+2*size+size/4 { // and room for records, as many as would fit
					t.Fatalf("codec %d: %d records of %d bytes", codec, len(got.records), got.bytes)
				}
				from, n = got.next, n+len(got.records)
			})
			d.inflater.close()
		}
		if n < 400 || core.Offset(n) != from {
			t.Fatalf("codec %d: %d records, next %d", codec, n, from)
		}
	}
}

// Records of few bytes take more as records than their batch does.
func TestPiecesOfSmallRecords(t *testing.T) {
	rs := make([]core.RawRecord, 100_000)
	w := &writer{codec: codecZstd}
	log, err := w.append(nil, rs, producerState{7, 1, true}, 0)
	must(t, err)
	d := decoder{lease: new(lease)}
	got, err := d.decode(log, 0, nil, 1)
	if err != nil || len(got.records) == 0 || len(got.records) > pieceMin/recordBytes || int(got.next) != len(got.records) {
		t.Fatal(len(got.records), got.next, err)
	}
}

// A piece that is cut off, or lies about its lengths, is an error, not records, and no memory either.
func TestPiecesBroken(t *testing.T) {
	w := &writer{codec: codecGzip}
	log, err := w.append(nil, records(100, "value %d"), producerState{7, 1, true}, 0)
	must(t, err)
	for name, change := range map[string]func(body []byte) []byte{
		"cut off":   func(b []byte) []byte { return b[:len(b)-5] },
		"of length": func(b []byte) []byte { return append([]byte{0xff, 0xff, 0xff, 0xff, 0x7f}, b...) },
		"a claim":   func(b []byte) []byte { return append(binary.AppendVarint(nil, inflatedMax), b...) },
		"negative":  func(b []byte) []byte { return append([]byte{1}, b...) },
		"of none":   func(b []byte) []byte { return append([]byte{0}, b...) },
	} {
		var d decoder
		body, err := d.inflater.inflate(codecGzip, nil, log[headBytes:], 1<<20)
		must(t, err)
		var c deflater
		packed, err := c.deflate(codecGzip, slices.Clone(log[:headBytes]), change(slices.Clone(body)))
		must(t, err)
		allocated.Within(t, name, 4*pieceMin, func() {
			d.lease, err = new(lease), nil
			out := decoded{}
			for whole := false; !whole && err == nil; {
				out = decoded{next: out.next}
				whole, err = d.inflated(&out, batch(packed), out.next, 500)
			}
		})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
