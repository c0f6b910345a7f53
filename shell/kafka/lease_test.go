package kafka

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// Of what was given back the least that is large enough is taken; more than max is not kept, and
// what was given back last is.
func TestLeases(t *testing.T) {
	ls := leases{max: 1 << 20}
	small, large := ls.take(100<<10), ls.take(300<<10)
	if len(small.raw) != 100<<10 || cap(small.raw) != 128<<10 {
		t.Fatalf("%d of %d bytes", len(small.raw), cap(small.raw))
	}
	ls.give(large)
	ls.give(small)
	if l := ls.take(leaseMin - 1); l == small || l == large {
		t.Error("a small response has a lease of others")
	}
	if ls.take(90<<10) != small || ls.take(90<<10) != large || len(ls.free) != 0 || ls.bytes != 0 {
		t.Errorf("%d are left, %d bytes", len(ls.free), ls.bytes)
	}
	if len(large.raw) != 90<<10 {
		t.Errorf("%d bytes", len(large.raw))
	}
	ls.give(&lease{raw: make([]byte, 2<<20)})
	if len(ls.free) != 0 {
		t.Error("one that is too large is kept")
	}
	var given []*lease
	for range 3 {
		given = append(given, &lease{raw: make([]byte, 300<<10), bodies: [][]byte{make([]byte, 50<<10)}, records: make([]core.RawRecord, 100)})
		ls.give(given[len(given)-1])
	}
	size := 350<<10 + 100*recordBytes
	if !slices.Equal(ls.free, given[1:]) || ls.bytes != 2*size {
		t.Errorf("%d are kept, %d bytes, want the last two of %d bytes each", len(ls.free), ls.bytes, size)
	}
}

// What was fetched is read into the memory of what was given back, compressed or not, and is right;
// what nobody gave back, and what has headers, keeps its memory.
func TestFetchReuses(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			c := fake(t, 1)
			cfg := testConfig(c.ListenAddrs())
			cfg.Compression = compression
			b := open(t, cfg)
			topics(t, b, 1, "in")
			ctx := limit(t, 20*time.Second)
			p := producerFor(t, b, "x")
			f := b.NewFetcher(shell.FetchConfig{Name: "test"})
			defer f.Close()
			f.Add(tp("in", 0), 0, 1, 0)
			next(t, f) // it is empty
			random := rand.NewChaCha8([32]byte{})
			var held []shell.Fetched
			var at []*core.RawRecord
			round := func(kind string, headers []byte) shell.Fetched {
				rs := make([]core.RawRecord, 3000)
				for i := range rs { // a part of each does not compress
					noise := make([]byte, 32)
					_, _ = random.Read(noise) // never fails
					rs[i] = core.RawRecord{Key: []byte(kind), Value: append(noise, kind...), Headers: headers, Time: 5}
				}
				must(t, p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp("in", 0), Records: rs}}))
				must(t, p.End(ctx))
				x := next(t, f)
				for len(x.Batch.Records) == 0 {
					x = next(t, f)
				}
				if len(x.Batch.Records) != len(rs) {
					t.Fatalf("%d records at once, want %d", len(x.Batch.Records), len(rs))
				}
				for i, r := range x.Batch.Records {
					if string(r.Key) != kind || string(r.Value) != string(rs[i].Value) {
						t.Fatalf("record %d is %q", i, r.Value)
					}
				}
				f.Release(x.Partition, x.Tag, x.Bytes)
				held, at = append(held, x), append(at, &x.Batch.Records[0])
				return x
			}
			round("kept", nil)
			round("given", nil).Reuse()
			if round("again", nil); at[2] != at[1] || at[2] == at[0] {
				t.Error("the memory that was given back is not used again")
			}
			h := core.AppendHeader(nil, "a", "b")
			if x := round("headers", h); x.Reuse != nil {
				t.Error("records with headers can be written over")
			}
			for i, kind := range []string{"kept", "", "again", "headers"} {
				for _, r := range held[i].Batch.Records {
					if kind != "" && string(r.Key) != kind {
						t.Fatalf("a record of %q is %q now", kind, r.Key)
					}
				}
			}
		})
	}
}
