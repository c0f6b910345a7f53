package codec_test

import (
	"testing"
	"unsafe"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// A stream's values are the bytes that were fetched, and cannot grow into what is behind them;
// rows are copies, as the store writes over its own.
func TestBorrowedBytes(t *testing.T) {
	fetched := []byte("onetwo")
	stream := codec.BorrowedBytes.(core.Borrower[[]byte]).Borrowing()
	one, err := stream.Decode(fetched[:3])
	if err != nil || unsafe.SliceData(one) != unsafe.SliceData(fetched) {
		t.Fatalf("%q, %v: a copy", one, err)
	}
	if _ = append(one, '!'); string(fetched) != "onetwo" {
		t.Errorf("%q: written to", fetched)
	}
	row, err := codec.BorrowedBytes.Decode(fetched[:3])
	if err != nil || string(row) != "one" || unsafe.SliceData(row) == unsafe.SliceData(fetched) {
		t.Errorf("%q, %v: no copy", row, err)
	}
	if empty, err := stream.Decode([]byte{}); err != nil || empty == nil {
		t.Errorf("%v, %v: empty is not missing", empty, err)
	}
	if s := codec.SchemaOf(codec.BorrowedBytes); s != codec.SchemaOf(codec.Bytes) {
		t.Errorf("schema %q", s)
	}
}
