package jsonlibs

import (
	"encoding/json"
	"testing"

	"github.com/bytedance/sonic"
	goccy "github.com/goccy/go-json"
	jsoniter "github.com/json-iterator/go"
	segmentio "github.com/segmentio/encoding/json"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// library appends to a buffer, as a Codec does, where it can.
type library[T any] struct {
	name   string
	append func([]byte, T) ([]byte, error)
	decode func([]byte) (T, error)
}

func libraries[T any]() []library[T] {
	marshals := func(name string, marshal func(any) ([]byte, error), unmarshal func([]byte, any) error) library[T] {
		return library[T]{name, func(b []byte, v T) ([]byte, error) {
			enc, err := marshal(v)
			return append(b, enc...), err
		}, func(b []byte) (v T, err error) {
			err = unmarshal(b, &v)
			return v, err
		}}
	}
	own := codec.JSON[T]()
	iter, fast := jsoniter.ConfigCompatibleWithStandardLibrary, sonic.ConfigStd
	segment := marshals("segmentio", segmentio.Marshal, segmentio.Unmarshal)
	segment.append = func(b []byte, v T) ([]byte, error) {
		return segmentio.Append(b, v, segmentio.EscapeHTML|segmentio.SortMapKeys)
	}
	return []library[T]{
		{"limpet", own.Append, own.Decode},
		marshals("encoding-json", json.Marshal, json.Unmarshal),
		marshals("goccy", goccy.Marshal, goccy.Unmarshal),
		segment,
		marshals("jsoniter", iter.Marshal, iter.Unmarshal),
		marshals("sonic", fast.Marshal, fast.Unmarshal),
	}
}

func BenchmarkJSON(b *testing.B) {
	order := emailservice.Order{OrderID: "o000000001", CustomerID: "c0000002", SKU: "book-4711", Quantity: 2, Cents: 1999, Currency: "EUR", PlacedAt: 1_700_000_000_000, Channel: "web"}
	customer := emailservice.Customer{ID: "c0000002", Name: "Ada Lovelace", Email: "ada@example.com", Locale: "en-GB", Tier: "gold", Street: "1 Example Street", City: "London", Country: "GB", OptIn: true}
	bench(b, "order", order)
	bench(b, "customer", customer)
	bench(b, "email", emailservice.Compose(order, customer))
}

func bench[T comparable](b *testing.B, what string, v T) {
	for _, l := range libraries[T]() {
		enc, err := l.append(nil, v)
		if err != nil {
			b.Fatal(err)
		}
		if back, err := l.decode(enc); err != nil || back != v {
			b.Fatalf("%s: %s became %+v, %v", l.name, enc, back, err)
		}
		b.Run(what+"/encode/"+l.name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				if buf, err = l.append(buf[:0], v); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(what+"/decode/"+l.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.decode(enc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
