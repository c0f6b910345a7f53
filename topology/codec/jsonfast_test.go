package codec

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/internal/allocated"
)

type flatRecord struct {
	ID     string  `json:"id"`
	Kind   status  `json:"kind,omitempty"`
	Count  int     `json:"count"`
	Small  int8    `json:"small"`
	Short  int16   `json:"short"`
	Word   int32   `json:"word"`
	Byte   uint8   `json:"byte"`
	Word16 uint16  `json:"word16"`
	Word32 uint32  `json:"word32"`
	Big    uint64  `json:"big,omitempty"`
	Price  float64 `json:"price"`
	Rate   float32 `json:"rate"`
	OK     bool
	Tags   []string   `json:"tags"`
	Lines  []flatLine `json:"lines,omitempty"`
	At     flatPlace  `json:"at"`
}

type (
	status    string
	flatLine  struct{ SKU, Note string }
	flatPlace struct {
		Lat float64 `json:"lat"`
		Z   int     `json:"z,omitempty"`
	}
)

var flatJSON = JSON[flatRecord]().(*jsonCodec[flatRecord])

// sameAsStandard compares the codec with encoding/json on any bytes, and on what they decode to.
func sameAsStandard(t *testing.T, src []byte) {
	t.Helper()
	if string(bytes.TrimSpace(src)) == "null" { // refused, on purpose
		return
	}
	var want flatRecord
	wrong := json.Unmarshal(src, &want)
	var got flatRecord
	var err error
	allocated.Within(t, "Decode", allocated.For(len(src)), func() { got, err = flatJSON.Decode(src) })
	if (err != nil) != (wrong != nil) {
		t.Fatalf("%q: %v, and encoding/json says %v", src, err, wrong)
	}
	if err != nil {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q:\ngot  %+v\nwant %+v", src, got, want)
	}
	b, err := flatJSON.Append([]byte("x"), got)
	var std bytes.Buffer
	enc := json.NewEncoder(&std)
	enc.SetEscapeHTML(false)
	if wrong := enc.Encode(got); (err != nil) != (wrong != nil) {
		t.Fatalf("%+v: %v, and encoding/json says %v", got, err, wrong)
	}
	if err == nil && string(b) != "x"+string(bytes.TrimSuffix(std.Bytes(), []byte("\n"))) {
		t.Fatalf("%+v:\ngot  %s\nwant %s", got, b[1:], std.Bytes())
	}
}

// What is plain goes the short way, and the rest the long one.
func TestJSONPlans(t *testing.T) {
	if flatJSON.plan == nil {
		t.Fatal("a plain type has no plan")
	}
	for src, short := range map[string]bool{
		`{}`: true,
		` { "id" : "a" , "count" : -12 , "price" : 1.5e3 , "OK" : true, "tags" : [ "x" , "y" ] , "lines":[{"SKU":"s"}], "at":{"lat":-0.25} } `:        true,
		`{"id":"line\nand \"quotes\" and \/ \\ \b\f\r\t","kind":"é ü"}`:                                                                               true,
		`{"unknown":{"a":[1,2,{"b":null}],"c":"d"},"count":1,"more":[],"also":-1.5e-7,"and":true,"id":"x"}`:                                           true,
		`{"small":-128,"short":32767,"word":-2147483648,"byte":255,"word16":65535,"word32":4294967295,"big":123456789012345678,"rate":0.1,"tags":[]}`: true,
		`{"id":null}`:                  false,
		`{"ID":"other case"}`:          false,
		`{"id":"\u00e9"}`:              false,
		"{\"id\":\"\xff\"}":            false,
		`{"tags":["a"],"tags":["b"]}`:  false,
		`{"small":128}`:                false,
		`{"byte":-1}`:                  false,
		`{"count":1.0}`:                false,
		`{"count":"1"}`:                false,
		`{"big":18446744073709551615}`: false,
		`{"price":1e999}`:              false,
		`{"count":01}`:                 false,
		`{"count":1,}`:                 false,
		`{"count":1} x`:                false,
		"{\"id\":\"\n\"}":              false,
		`{"unknown":[1,}`:              false,
		`{"unknown":[1}`:               false,
		`{"unknown":tru}`:              false,
		`{"unknown":"\x"}`:             false,
		`{"id":"a`:                     false,
		`[]`:                           false,
		``:                             false,
	} {
		if _, ok := flatJSON.decode([]byte(src)); ok != short {
			t.Errorf("%s: the short way: %v, want %v", src, ok, short)
		}
		sameAsStandard(t, []byte(src))
	}
}

func TestJSONNotPlain(t *testing.T) {
	for _, c := range []interface{ noPlan() bool }{
		JSON[order]().(*jsonCodec[order]), // refers to itself
		JSON[struct{ A time.Time }]().(*jsonCodec[struct{ A time.Time }]),
		JSON[struct{ A []byte }]().(*jsonCodec[struct{ A []byte }]),
		JSON[struct{ A map[string]int }]().(*jsonCodec[struct{ A map[string]int }]),
		JSON[struct {
			A int `json:",string"`
		}]().(*jsonCodec[struct {
			A int `json:",string"`
		}]),
		JSON[struct {
			A int `json:"a&b"`
		}]().(*jsonCodec[struct {
			A int `json:"a&b"`
		}]),
		JSON[struct{ flatPlace }]().(*jsonCodec[struct{ flatPlace }]),
	} {
		if !c.noPlan() {
			t.Errorf("%T has a plan", c)
		}
	}
}

func (c *jsonCodec[T]) noPlan() bool { return c.plan == nil }

func TestJSONValues(t *testing.T) {
	for _, v := range []flatRecord{
		{},
		{ID: "<a href=\"x\">&amp;", Kind: "tab\tand\u2028", Tags: []string{}, Price: 1e21, Rate: 1e-7},
		{ID: "\x00\x1f\x7f", Price: math.Copysign(0, -1), Rate: math.MaxFloat32, Big: math.MaxUint64, Count: math.MinInt64},
		{ID: "\xff\xfe", Lines: []flatLine{{}, {"a", "b"}}, Price: 0.000001, At: flatPlace{Lat: 1e20}},
	} {
		std, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		sameAsStandard(t, std)
		b, err := flatJSON.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		var got, want flatRecord
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if err := json.Unmarshal(std, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %+v, want %+v", b, got, want)
		}
	}
	if _, err := flatJSON.Append(nil, flatRecord{Price: math.Inf(1)}); err == nil {
		t.Error("infinity was written")
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"id":"a","count":1,"tags":["x"],"lines":[{"SKU":"s"}],"at":{"lat":1.5},"price":1e2}`,
		`{"id":"\u00e9\n","Tags":null,"big":1}`, `{"x":[{"y":null}],"kind":"é"}`, `{"rate":1.5E+3,"OK":false,"small":-1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(sameAsStandard)
}
