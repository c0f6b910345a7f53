package codec

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// The bytes are those of Kafka Streams' WindowKeySchema and SessionKeySchema.
func TestWindowedKeysAreKafkas(t *testing.T) {
	key := core.Windowed[string]{Key: "ab", Start: 258, End: 60258}
	for want, c := range map[string]core.Codec[core.Windowed[string]]{
		"ab\x00\x00\x00\x00\x00\x00\x01\x02":                                 Windowed(String, time.Minute),
		"ab\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00":                 WindowRows(String, time.Minute),
		"ab\x00\x00\x00\x00\x00\x00\xeb\x62\x00\x00\x00\x00\x00\x00\x01\x02": SessionWindowed(String),
	} {
		b, err := c.Append([]byte("x"), key)
		if err != nil || !bytes.Equal(b, []byte("x"+want)) {
			t.Errorf("%s: % x, %v, want % x", SchemaOf(c), b, err, want)
		}
		if k, err := c.Decode([]byte(want)); err != nil || k != key {
			t.Errorf("%s: %v, %v", SchemaOf(c), k, err)
		}
		if _, err := c.Decode([]byte("short")); err == nil {
			t.Errorf("%s: decodes what is too short", SchemaOf(c))
		}
		if _, err := Windowed(Optional(String), time.Minute).Append(nil, core.Windowed[core.Opt[string]]{}); err == nil {
			t.Error("no key in a windowed key")
		}
		if !IsCanonical(c) || Check(c) != nil {
			t.Errorf("%s: canonical %v, %v", SchemaOf(c), IsCanonical(c), Check(c))
		}
	}
	for _, c := range []core.Codec[core.Windowed[string]]{UnlimitedWindowed(String), UnlimitedRows(String)} {
		k := core.Windowed[string]{Key: "a", Start: 7, End: math.MaxInt64}
		b, err := c.Append(nil, k)
		if err != nil {
			t.Error(err)
		}
		if got, err := c.Decode(b); err != nil || got != k {
			t.Errorf("%v, %v", got, err)
		}
	}
	if Check(Windowed(String, -time.Second)) == nil {
		t.Error("a negative size")
	}
	if s := SchemaOf(WindowRows(String, time.Minute)); s != "windowRow(string, 1m0s)" {
		t.Error(s)
	}
}

// All windows of a key lie in the partition of the key.
func TestWindowsArePartitionedByKey(t *testing.T) {
	w := core.Windowed[string]{Key: "ann", Start: 5, End: 9}
	for _, c := range []core.Codec[core.Windowed[string]]{Windowed(String, 4), UnlimitedWindowed(String), SessionWindowed(String)} {
		if b, err := c.(core.PartitionCodec[core.Windowed[string]]).AppendPartition([]byte("x"), w); string(b) != "xann" || err != nil {
			t.Errorf("%s: %q, %v", SchemaOf(c), b, err)
		}
	}
	type pair = Pair[string, int64]
	c := SessionWindowed(PairByFirst(String, Int64)).(core.PartitionCodec[core.Windowed[pair]])
	if b, err := c.AppendPartition(nil, core.Windowed[pair]{Key: pair{First: "ann", Second: 7}}); string(b) != "ann" || err != nil {
		t.Errorf("pairs: %q, %v", b, err)
	}
}
