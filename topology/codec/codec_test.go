package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/allocated"
	"github.com/seed-81380e12/limpet/internal/placed"
)

type (
	customerID string
	cents      int64
	ratio      float64
	blob       []byte
	flag       bool
)

type order struct {
	ID    string   `json:"id"`
	Cents int64    `json:"cents"`
	Tags  []string `json:"tags"`
	Next  *order   `json:"next"`
}

// Kafka's LongSerializer and DoubleSerializer write the most significant byte first.
func TestBytesAreKafkas(t *testing.T) {
	check := func(got []byte, err error) func(want ...byte) {
		return func(want ...byte) {
			t.Helper()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got % x, %v, want % x", got, err, want)
			}
		}
	}
	check(Int64.Append(nil, 1))(0, 0, 0, 0, 0, 0, 0, 1)
	check(Int64.Append(nil, -2))(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe)
	check(Integer[cents]().Append([]byte{9}, 256))(9, 0, 0, 0, 0, 0, 0, 1, 0)
	check(Float64.Append(nil, 1))(0x3f, 0xf0, 0, 0, 0, 0, 0, 0)
	check(String.Append(nil, "é"))(0xc3, 0xa9)
	check(Text[customerID]().Append([]byte("a"), "b"))('a', 'b')
	check(Bytes.Append(nil, []byte{1, 2}))(1, 2)
	check(JSON[order]().Append(nil, order{ID: "<&>"}))([]byte(`{"id":"<&>","cents":0,"tags":null,"next":null}`)...)
	check(List(String).Append(nil, []string{"ab", ""}))(2, 'a', 'b', 0)
	check(List(JSON[int]()).Append(nil, []int{1, 2}))([]byte(`[1,2]`)...)
	check(Optional(Int64).Append(nil, core.None[int64]()))()
}

func roundTrip[T any](t *testing.T, c core.Codec[T], values ...T) {
	t.Helper()
	for _, v := range values {
		b, err := c.Append([]byte("before"), v)
		if err != nil {
			t.Errorf("%T: %v: %v", c, v, err)
			continue
		}
		if b == nil {
			if _, ok := c.(core.NullDecoder); !ok {
				t.Errorf("%T writes null for %v, and does not read it", c, v)
			}
		} else if !bytes.HasPrefix(b, []byte("before")) {
			t.Errorf("%T does not append: %q", c, b)
			continue
		} else {
			b = b[len("before"):]
		}
		got, err := c.Decode(b)
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%T: %v is read as %v, %v", c, v, got, err)
		}
		for i := range b { // Decode must not keep the bytes
			b[i] = 0xff
		}
		if err == nil && !reflect.DeepEqual(got, v) {
			t.Errorf("%T keeps the bytes that it decodes: %v is now %v", c, v, got)
		}
	}
}

func TestRoundTrips(t *testing.T) {
	roundTrip(t, String, "", "a", "\x00\xff")
	roundTrip(t, Text[customerID](), "", "c1")
	roundTrip(t, Bytes, []byte{}, []byte{0, 255})
	roundTrip(t, Int64, 0, -1, math.MinInt64, math.MaxInt64)
	roundTrip(t, Integer[cents](), 5)
	roundTrip(t, Float64, 0, -1.5, math.Inf(1), math.SmallestNonzeroFloat64)
	roundTrip(t, JSON[order](), order{}, order{"a", 1, []string{"x"}, &order{ID: "b"}})
	roundTrip(t, JSON[*order](), nil, &order{ID: "a"})
	roundTrip(t, JSON[[]int](), nil, []int{}, []int{1})
	roundTrip(t, JSON[map[string]int](), nil, map[string]int{"a": 1})
	roundTrip(t, JSON[flag](), true, false)
	roundTrip(t, JSON[time.Time](), time.Date(2025, 1, 2, 3, 4, 5, 6, time.UTC))
	roundTrip(t, Optional(String), core.None[string](), core.Some(""), core.Some("a"))
	roundTrip(t, Optional(JSON[order]()), core.None[order](), core.Some(order{ID: "a"}))
	roundTrip(t, List(String), nil, []string{"a", "", strings.Repeat("x", 300)})
	roundTrip(t, List(List(Int64)), nil, [][]int64{{1, 2}, nil})
	roundTrip(t, List(JSON[order]()), nil, []order{{ID: "a"}, {}})
	roundTrip(t, Default[customerID](), "c1")
	roundTrip(t, Default[cents](), 7)
	roundTrip(t, Default[ratio](), 0.5)
	roundTrip(t, Default[blob](), blob("x"))
	roundTrip(t, Default[bool](), true)
	roundTrip(t, Default[order](), order{ID: "a"})
	roundTrip(t, Func(Int64.Append, Int64.Decode), 3)
}

// An empty value is not null, also where dst is nil.
func TestEmptyIsNotNull(t *testing.T) {
	if b, err := Optional(String).Append(nil, core.Some("")); b == nil || err != nil {
		t.Errorf("%v, %v", b, err)
	}
	if b, err := List(String).Append(nil, nil); b == nil || err != nil {
		t.Errorf("%v, %v", b, err)
	}
}

func TestDecodeErrors(t *testing.T) {
	text := func(_ any, err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	for got, want := range map[string]string{
		text(Int64.Decode([]byte{1, 2})):                                      "byte 2: int64: 2 bytes where 8 were expected",
		text(Float64.Decode(nil)):                                             "byte 0: float64: 0 bytes where 8 were expected",
		text(JSON[order]().Decode([]byte(" null "))):                          "byte 0: json: null is no order",
		text(JSON[int]().Decode([]byte("null"))):                              "byte 0: json: null is no int",
		text(JSON[order]().Decode([]byte(`{"id":1}`))):                        "byte 7: json: cannot unmarshal number into Go struct field order.id of type string",
		text(JSON[order]().Decode([]byte(`{"id":"a"`))):                       "byte 9: json: unexpected end of JSON input",
		text(JSON[order]().Decode(nil)):                                       "byte 0: json: unexpected end of JSON input",
		text(List(String).Decode([]byte{5, 'a'})):                             "byte 0: list: element 0 is cut short",
		text(List(Int64).Decode([]byte{1, 'a'})):                              "byte 2: list: element 0: int64: 1 bytes where 8 were expected",
		text(List(JSON[int]()).Decode([]byte(`[1,"x"]`))):                     "byte 6: list: element 1: json: cannot unmarshal string into Go value of type int",
		text(List(JSON[int]()).Decode([]byte(`{}`))):                          "byte 1: json: cannot unmarshal object into Go value of type []json.RawMessage",
		text(Optional(Int64).Decode([]byte{})):                                "byte 0: int64: 0 bytes where 8 were expected",
		text(List(Optional(String)).Append(nil, make([]core.Opt[string], 1))): errNullElement.Error(),
		text(JSON[float64]().Append(nil, math.NaN())):                         "json: unsupported value: NaN",
	} {
		if got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

type unexported struct {
	Name string
	age  int //nolint:unused // that it is there is the point
}
type (
	embedsUnexported struct{ inner }
	inner            struct{ Name string }
	marshals         struct{ secret int }
)

func (m marshals) MarshalJSON() ([]byte, error)  { return json.Marshal(m.secret) }
func (m *marshals) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &m.secret) }

func TestCheck(t *testing.T) {
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	for _, c := range []struct{ got, want string }{
		{text(Check(JSON[order]())), ""},
		{text(Check(JSON[embedsUnexported]())), ""},
		{text(Check(JSON[marshals]())), ""},
		{text(Check(JSON[map[int]time.Time]())), ""},
		{text(Check(JSON[map[marshals]int]())), "map[marshals]int has keys of type marshals, which JSON does not have"},
		{text(Check(JSON[unexported]())), "unexported.age is unexported: JSON leaves it out"},
		{text(Check(JSON[[]*unexported]())), "[]*unexported.age is unexported: JSON leaves it out"},
		{text(Check(JSON[struct{ A any }]())), "struct { A interface {} }.A is an interface: which type a value had is lost in JSON"},
		{text(Check(JSON[error]())), "error is an interface: which type a value had is lost in JSON"},
		{text(Check(JSON[struct {
			A int `json:"-"`
		}]())), "struct { A int \"json:\\\"-\\\"\" }.A is left out of the JSON by its tag"},
		{text(Check(JSON[func()]())), "func() is a func, which JSON does not have"},
		{text(Check(JSON[core.Record[string, string]]())), "Record[string,string].Headers.raw is unexported: JSON leaves it out"},
		{text(Check(Optional(Optional(String)))), "codec.Optional of a codec that has null already"},
		{text(Check(List(Optional(String)))), "codec.List of a codec that has null"},
		{text(Check(Optional(JSON[unexported]()))), "unexported.age is unexported: JSON leaves it out"},
		{text(Check(Func[int](nil, nil))), "codec.Func with a nil function"},
		{text(Check[int](nil)), "the codec is nil"},
		{text(Check(Int64)), ""},
	} {
		if c.got != c.want {
			t.Errorf("got  %q\nwant %q", c.got, c.want)
		}
	}
}

func TestSchemas(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{SchemaOf(String), "string"},
		{SchemaOf(Text[customerID]()), "string"},
		{SchemaOf(Default[customerID]()), "string"},
		{SchemaOf(Int64), "int64"},
		{SchemaOf(Default[cents]()), "int64"},
		{SchemaOf(Float64), "float64"},
		{SchemaOf(Bytes), "bytes"},
		{SchemaOf(JSON[order]()), "json(order)"},
		{SchemaOf(JSON[[]order]()), "json([]order)"},
		{SchemaOf(JSON[core.Opt[order]]()), "json(Opt[order])"},
		{SchemaOf(Optional(String)), "optional(string)"},
		{SchemaOf(List(JSON[order]())), "list(json(order))"},
		{SchemaOf(Func(Int64.Append, Int64.Decode)), "go(int64)"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if !IsCanonical(String) || !IsCanonical(Default[customerID]()) || IsCanonical(JSON[string]()) || IsCanonical(Default[ratio]()) {
		t.Error("canonical")
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 1024)
	o := order{ID: "a", Cents: 12, Tags: []string{"x", "y"}}
	j, i := JSON[order](), Default[cents]()
	_, _ = j.Append(buf, o) // the pool has one now
	for name, f := range map[string]func(){
		"json":    func() { _, _ = j.Append(buf, o) },
		"default": func() { _, _ = i.Append(buf, 5) },
		"text":    func() { _, _ = String.Append(buf, "abc") },
		"decode":  func() { _, _ = Int64.Decode(buf[:8]) },
	} {
		if n := testing.AllocsPerRun(100, f); n > 0 && (!race || name != "json") {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

type failing struct{ Fail bool }

func (f failing) MarshalJSON() ([]byte, error) {
	if f.Fail {
		return nil, errors.New("no")
	}
	return []byte("{}"), nil
}
func (f *failing) UnmarshalJSON([]byte) error { return nil }

// An encoder that has failed is good for the next value.
func TestJSONAfterAFailure(t *testing.T) {
	c := JSON[failing]()
	if _, err := c.Append(nil, failing{true}); err == nil {
		t.Error("no error")
	}
	if b, err := c.Append([]byte("x"), failing{}); string(b) != "x{}" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// fuzz checks that Decode never panics, and that what it makes can be written and read
// again as the same.
func fuzz[T any](t *testing.T, c core.Codec[T], src []byte) {
	var v T
	var err error
	allocated.Within(t, fmt.Sprintf("%T", c), allocated.For(len(src)), func() { v, err = c.Decode(src) })
	if err != nil {
		if len(err.Error()) > 300 && len(src) < 200 {
			t.Errorf("%T: a long error: %v", c, err)
		}
		placed.Error(t, err, len(src))
		return
	}
	b, err := c.Append([]byte{}, v)
	if err != nil {
		t.Fatalf("%T: %v is read from %q and cannot be written: %v", c, v, src, err)
	}
	again, err := c.Decode(b)
	if err != nil {
		t.Fatalf("%T: %v is written as %q, which cannot be read: %v", c, v, b, err)
	}
	b2, err := c.Append([]byte{}, again)
	if err != nil || !bytes.Equal(b, b2) {
		t.Fatalf("%T: %v becomes %v", c, v, again)
	}
	if _, ok := c.(interface{ Canonical() }); ok && !bytes.Equal(b, src) {
		t.Fatalf("%T is canonical and writes %q for %q", c, b, src)
	}
}

type step interface{ step() }

type begun struct{ Owner string }

type paid struct {
	Cents int64 `json:"cents"`
}

func (begun) step() {}
func (paid) step()  {}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "null", "{}", `{"id":"a","cents":1,"tags":["x"],"next":{"id":"b"}}`, "[]", `[{},{"id":"<"}]`, `"\ud800"`, `{"type":"paid","cents":3}`, `{"version":2,"id":"a"}`, "\x02ab", "\x00\x00\x00\x00\x00\x00\x00\x01", "\x80\x80\x80\x80\x10"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		fuzz(t, String, src)
		fuzz(t, Bytes, src)
		fuzz(t, Int64, src)
		fuzz(t, Float64, src)
		fuzz(t, Text[customerID](), src)
		fuzz(t, JSON[order](), src)
		fuzz(t, JSON[*order](), src)
		fuzz(t, JSON[map[string][]float64](), src)
		fuzz(t, Optional(JSON[order]()), src)
		fuzz(t, List(String), src)
		fuzz(t, List(Int64), src)
		fuzz(t, List(JSON[order]()), src)
		fuzz(t, List(List(String)), src)
		fuzz(t, Default[ratio](), src)
		fuzz(t, PairOf(String, String), src)
		fuzz(t, PairByFirst(String, Int64), src)
		fuzz(t, Windowed(String, time.Minute), src)
		fuzz(t, WindowRows(String, time.Minute), src)
		fuzz(t, SessionWindowed(String), src)
		fuzz(t, UnlimitedRows(String), src)
		fuzz(t, Union[step](begun{}, paid{}), src)
		fuzz(t, Upcast(JSON[begun](), JSON[order](), func(b begun) order { return order{ID: b.Owner} }), src)
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("id", int64(-1), "tag", 0.5, []byte("b"))
	f.Fuzz(func(t *testing.T, s string, i int64, tag string, x float64, b []byte) {
		roundTrip(t, String, s)
		roundTrip(t, Int64, i)
		roundTrip(t, Bytes, append([]byte{}, b...))
		if x == x {
			roundTrip(t, Float64, x)
		}
		roundTrip(t, Optional(String), core.Some(s))
		roundTrip(t, List(String), []string{s, tag})
		roundTrip(t, List(Bytes), [][]byte{append([]byte{}, b...), {}})
		o := order{strings.ToValidUTF8(s, "?"), i, []string{strings.ToValidUTF8(tag, "?")}, nil}
		roundTrip(t, JSON[order](), o)
		roundTrip(t, List(JSON[order]()), []order{o, o})
	})
}
