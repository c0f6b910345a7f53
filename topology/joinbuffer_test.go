package topology

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/allocated"
	"github.com/seed-81380e12/limpet/internal/placed"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// bufferRow is a row as Kafka Streams writes it, of offset 7 in partition 1 of the topic "in".
const bufferRow = "00000000000003e8" + "0000000000000007" + "00000002" + "696e" + "00000001" +
	"00000002" + "00000001" + "68" + "00000001" + "76" + "00000001" + "6e" + "ffffffff" + // h: v, n: null
	"ffffffff" + "ffffffff" + "00000002" + "6f31" + "0000000000000000"

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What Kafka Streams writes is read, and written again with nothing but its place left out.
func TestBufferRows(t *testing.T) {
	c := bufferCodec[string]{codec.String}
	p, err := c.Decode(fromHex(t, bufferRow))
	h, _ := p.Headers.Get("h")
	if err != nil || p.At != 1000 || p.Value != "o1" || h != "v" || p.Headers.Count() != 2 {
		t.Fatalf("%v, %v", p, err)
	}
	b, err := c.Append(nil, p)
	want := strings.Replace(bufferRow, "0000000000000007"+"00000002"+"696e"+"00000001", "ffffffffffffffff"+"00000000"+"ffffffff", 1)
	if got := hex.EncodeToString(b); got != want || err != nil {
		t.Errorf("written as\n%s, want\n%s: %v", got, want, err)
	}
	if n := testing.AllocsPerRun(100, func() { b, _ = c.Append(b[:0], p) }); n != 0 {
		t.Errorf("%v allocations for a row", n)
	}
	opt := bufferCodec[Opt[string]]{codec.Optional(codec.String)}
	for _, v := range []Opt[string]{{}, Some(""), Some("x")} {
		b, err := opt.Append([]byte("before"), core.Parked[Opt[string]]{Value: v, At: 5})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := opt.Decode(b[len("before"):]); p.Value != v || p.At != 5 || err != nil {
			t.Errorf("%v is read as %v, %v", v, p, err)
		}
	}
}

// Rows that are cut off, too long or say that they have more than they do are refused.
func TestBufferRowsThatAreNone(t *testing.T) {
	c := bufferCodec[string]{codec.String}
	row := fromHex(t, bufferRow)
	for n := range row {
		if p, err := c.Decode(row[:n]); err == nil {
			t.Errorf("%d bytes of %d are read as %v", n, len(row), p)
		}
	}
	many := append([]byte(nil), row...)
	copy(many[8+8+4+2+4:], "\x7f\xff\xff\xff")
	for what, b := range map[string][]byte{"one byte more": append(row[:len(row):len(row)], 0), "too many headers": many, "a null value": fromHex(t, fmt.Sprintf("%016x%016x%08x%08x%08xffffffffffffffffffffffff%016x", 5, 5, 0, 0, 0, 0))} {
		if p, err := c.Decode(b); err == nil {
			t.Errorf("%s: read as %v", what, p)
		}
	}
}

func FuzzBufferRows(f *testing.F) {
	b, err := hex.DecodeString(bufferRow)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	c := bufferCodec[Opt[string]]{codec.Optional(codec.String)}
	f.Fuzz(func(t *testing.T, src []byte) {
		var p core.Parked[Opt[string]]
		var err error
		allocated.Within(t, "Decode", allocated.For(len(src)), func() { p, err = c.Decode(src) })
		if err != nil {
			placed.Error(t, err, len(src))
			return
		}
		b, err := c.Append(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := c.Decode(b); err != nil || q.At != p.At || q.Value != p.Value || string(q.Headers.Raw()) != string(p.Headers.Raw()) {
			t.Fatalf("%v is read again as %v, %v", p, q, err)
		}
	})
}
