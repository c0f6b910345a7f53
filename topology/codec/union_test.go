package codec_test

import (
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/topology/codec"
)

type (
	event     interface{ event() }
	opened    struct{ Owner string }
	deposited struct {
		Cents int64 `json:"cents"`
	}
	closed struct{}
	typed  struct{ Type string }
)

func (opened) event()            {}
func (deposited) event()         {}
func (closed) event()            {}
func (typed) event()             {}
func (closed) EventType() string { return "account-closed" }

func TestUnion(t *testing.T) {
	c := codec.Union[event](opened{}, deposited{}, closed{})
	if err := codec.Check(c); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		v    event
		want string
	}{
		{opened{"Ada <3"}, `{"type":"opened","Owner":"Ada \u003c3"}`},
		{deposited{5}, `{"type":"deposited","cents":5}`},
		{closed{}, `{"type":"account-closed"}`},
	} {
		b, err := c.Append([]byte("x"), x.v)
		if err != nil || string(b) != "x"+x.want {
			t.Errorf("got %s, %v; want %s", b, err, x.want)
		}
		if v, err := c.Decode(b[1:]); err != nil || v != x.v {
			t.Errorf("got %v, %v; want %v", v, err, x.v)
		}
	}
	for src, why := range map[string]string{
		`{"type":"gone"}`:                  `type "gone" is none of opened, deposited, account-closed`,
		`{"cents":5}`:                      `there is no member "type"`,
		`{"type":"deposited","cents":"x"}`: "cannot unmarshal",
		`[]`:                               "cannot unmarshal",
		`{`:                                "byte 1: json: unexpected end",
	} {
		if _, err := c.Decode([]byte(src)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v, want %s", src, err, why)
		}
	}
	if _, err := c.Append(nil, typed{}); err == nil {
		t.Error("a type that is no member was encoded")
	}
	for _, bad := range []struct {
		c   interface{ Check() error }
		why string
	}{
		{codec.Union[event](typed{}).(interface{ Check() error }), `member "type"`},
		{codec.Union[event](opened{}, opened{}).(interface{ Check() error }), "two members are called"},
		{codec.Union[event](nil).(interface{ Check() error }), "no struct"},
		{codec.Union[event]().(interface{ Check() error }), "no members"},
	} {
		if err := bad.c.Check(); err == nil || !strings.Contains(err.Error(), bad.why) {
			t.Errorf("got %v, want %s", err, bad.why)
		}
	}
}

type (
	customer1 struct{ Name string }
	customer2 struct{ First, Last string }
	customer3 struct{ First, Last, Language string }
)

func split(c customer1) customer2 {
	first, last, _ := strings.Cut(c.Name, " ")
	return customer2{first, last}
}

func speak(c customer2) customer3 { return customer3{c.First, c.Last, "en"} }

func TestUpcast(t *testing.T) {
	v2 := codec.Upcast(codec.JSON[customer1](), codec.JSON[customer2](), split)
	v3 := codec.Upcast(v2, codec.JSON[customer3](), speak)
	if err := codec.Check(v3); err != nil {
		t.Fatal(err)
	}
	for src, want := range map[string]customer3{
		`{"Name":"Ada Lovelace"}`:                                       {"Ada", "Lovelace", "en"},
		`{"version":1,"Name":"Ada Lovelace"}`:                           {"Ada", "Lovelace", "en"},
		`{"version":2,"First":"Ada","Last":"Lovelace"}`:                 {"Ada", "Lovelace", "en"},
		`{"version":3,"First":"Elsa","Last":"Morante","Language":"it"}`: {"Elsa", "Morante", "it"},
	} {
		if got, err := v3.Decode([]byte(src)); err != nil || got != want {
			t.Errorf("%s: got %v, %v", src, got, err)
		}
	}
	b, err := v3.Append(nil, customer3{"Elsa", "Morante", "it"})
	if want := `{"version":3,"First":"Elsa","Last":"Morante","Language":"it"}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v", b, err)
	}
	if _, err := v2.Decode(b); err == nil || !strings.Contains(err.Error(), "version 3 is none of 1 to 2") {
		t.Errorf("an old reader: got %v", err)
	}
	type own struct{ Version int }
	if err := codec.Check(codec.Upcast(codec.JSON[customer1](), codec.JSON[own](), func(customer1) own { return own{} })); err == nil {
		t.Error("a type with a version of its own was accepted")
	}
	if err := codec.Check(codec.Upcast(codec.Text[string](), codec.JSON[customer1](), func(string) customer1 { return customer1{} })); err == nil {
		t.Error("a codec that is no JSON was accepted")
	}
}
