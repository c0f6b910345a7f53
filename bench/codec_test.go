package bench

import (
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// BenchmarkCodec is one encoding and one decoding each.
func BenchmarkCodec(b *testing.B) {
	benchCodec(b, "string", codec.String, "c0004711-customer")
	benchCodec(b, "bytes-100", codec.Bytes, make([]byte, 100))
	benchCodec(b, "int64", codec.Int64, 4711)
	benchCodec(b, "fixed-order", core.Codec[fixedOrder](orderCodec{}), fixedOrder{ID: 1, Cents: 1999, Customer: 7, SKU: 4711, Quantity: 2})
	benchCodec(b, "json-order", codec.JSON[emailservice.Order](), exampleOrder(1, 2))
	benchCodec(b, "json-customer", codec.JSON[emailservice.Customer](), exampleCustomer(2))
	benchCodec(b, "json-email", codec.JSON[emailservice.Email](), emailservice.Compose(exampleOrder(1, 2), exampleCustomer(2)))
}

func benchCodec[T any](b *testing.B, name string, c core.Codec[T], v T) {
	b.Run(name+"/append", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for range b.N {
			var err error
			if buf, err = c.Append(buf[:0], v); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(len(buf)))
	})
	b.Run(name+"/decode", func(b *testing.B) {
		buf := must(c.Append(nil, v))
		b.SetBytes(int64(len(buf)))
		b.ReportAllocs()
		for range b.N {
			if _, err := c.Decode(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
