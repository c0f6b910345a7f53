package codec_test

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Bytes of pairs sort as the pairs do, and come back as what they were; a prefix is that of
// the pairs with its first part, and of no others.
func TestPair(t *testing.T) {
	type triple = codec.Pair[string, codec.Pair[int64, string]]
	c := codec.PairOf(codec.String, codec.PairOf(codec.Int64, codec.String))
	text := rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'b', 255}), 0, 4, -1)
	number := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 2))
	draw := rapid.Custom(func(t *rapid.T) triple {
		return triple{text.Draw(t, "first"), codec.Pair[int64, string]{First: number.Draw(t, "number"), Second: text.Draw(t, "second")}}
	})
	rapid.Check(t, func(rt *rapid.T) {
		a, b := draw.Draw(rt, "a"), draw.Draw(rt, "b")
		if rapid.Bool().Draw(rt, "same") {
			b.First = a.First
		}
		encode := func(p triple) []byte {
			enc, err := c.Append([]byte("before"), p)
			if err != nil || !bytes.HasPrefix(enc, []byte("before")) {
				rt.Fatal(enc, err)
			}
			enc = enc[len("before"):]
			if back, err := c.Decode(enc); err != nil || back != p {
				rt.Fatalf("%v came back as %v, %v", p, back, err)
			}
			return enc
		}
		ea, eb := encode(a), encode(b)
		want := cmp.Or(strings.Compare(a.First, b.First), cmp.Compare(a.Second.First, b.Second.First), strings.Compare(a.Second.Second, b.Second.Second))
		if got := bytes.Compare(ea, eb); got != want {
			rt.Fatalf("%v and %v: %d, want %d (%x, %x)", a, b, got, want, ea, eb)
		}
		prefix, err := c.(core.PrefixCodec[triple]).AppendPrefix(nil, triple{First: a.First})
		if err != nil || bytes.HasPrefix(eb, prefix) != (a.First == b.First) {
			rt.Fatalf("prefix %x of %x: %v", prefix, eb, err)
		}
	})
}

// The bytes are those that the documentation says.
func TestPairBytes(t *testing.T) {
	text, err := codec.PairOf(codec.String, codec.String).Append(nil, codec.Pair[string, string]{First: "a\x00b", Second: "c\x00"})
	if err != nil || string(text) != "a\x00\xffb\x00\x01c\x00" {
		t.Errorf("%q, %v", text, err)
	}
	number, err := codec.PairOf(codec.Int64, codec.Int64).Append(nil, codec.Pair[int64, int64]{First: -1, Second: 1})
	if err != nil || string(number) != "\x7f\xff\xff\xff\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\x00\x01" {
		t.Errorf("%q, %v", number, err)
	}
	c := codec.PairOf(codec.String, codec.Int64)
	for _, bad := range []string{"", "a", "a\x00", "a\x00\x02", "a\x00\x01short"} {
		if p, err := c.Decode([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
	if got := codec.SchemaOf(c); got != "pair(string, int64)" || !codec.IsCanonical(c) {
		t.Error(got)
	}
	null := codec.Func(func([]byte, string) ([]byte, error) { return nil, nil }, func([]byte) (string, error) { return "", nil })
	if _, err := codec.PairOf(null, codec.String).Append(nil, codec.Pair[string, string]{}); err == nil {
		t.Error("a first part that is null is taken")
	}
	if _, err := codec.PairOf(codec.String, null).Append(nil, codec.Pair[string, string]{}); err == nil {
		t.Error("a second part that is null is taken")
	}
}

// PairByFirst writes what PairOf does, and is partitioned as the first part alone.
func TestPairByFirst(t *testing.T) {
	plain, by := codec.PairOf(codec.Int64, codec.String), codec.PairByFirst(codec.Int64, codec.String)
	p := codec.Pair[int64, string]{First: -7, Second: "x\x00y"}
	want, err := plain.Append(nil, p)
	got, err2 := by.Append(nil, p)
	if err != nil || err2 != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v, want %q, %v", got, err2, want, err)
	}
	if back, err := by.Decode(got); back != p || err != nil {
		t.Errorf("%v, %v", back, err)
	}
	first, _ := codec.Int64.Append([]byte("before"), -7)
	if b, err := by.(core.PartitionCodec[codec.Pair[int64, string]]).AppendPartition([]byte("before"), p); !bytes.Equal(b, first) || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if codec.SchemaOf(by) == codec.SchemaOf(plain) {
		t.Error("their topics are partitioned in different ways, and have the same schema")
	}
	if _, ok := by.(core.PrefixCodec[codec.Pair[int64, string]]); !ok || !codec.IsCanonical(by) {
		t.Error("it is no codec for ranges")
	}
}
