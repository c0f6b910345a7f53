package core

import (
	"fmt"
	"testing"

	"github.com/seed-81380e12/limpet/internal/allocated"
	"github.com/seed-81380e12/limpet/internal/placed"
)

// Whatever bytes a changelog or a store holds as the state of operators: each codec reads them or
// says why not, without a panic and with memory in proportion. What it reads it can write, and
// reads back the same.
func FuzzStateCodecs(f *testing.F) {
	seed(f, TimedCodec[string]{plain{}}, Timed[string]{"k", 5, 7})
	seed(f, ParkedCodec[string]{plain{}}, Timed[string]{"k", 5, 7})
	seed(f, LonelyCodec[string]{plain{}}, Lonely[string]{5, true, "k"})
	seed(f, lonersCodec[string, string]{plain{}, plain{}}, lonersOf[string, string]{true, Loners[string, string]{Left: "a", More: []Loners[string, string]{{Left: "b"}}}})
	seed(f, VersionCodec[string]{plain{}}, Version[string]{"k", 5})
	seed(f, versionValue[string]{plain{}}, Some("v"))
	seed(f, KeyIDCodec[string, string]{plain{}, plain{}}, KeyID[string, string]{"k", "id"})
	seed(f, SubscriberCodec[string, string]{plain{}, plain{}}, Subscriber[string, string]{"f", "k"})
	seed(f, TimerKeyCodec[string]{[]string{"Due", "Paid"}, plain{}}, TimerKey[string]{1, "k"})
	seed(f, AlarmCodec{}, Alarm{At: 5, Headers: Headers{}.With("h", "v")})
	f.Add([]byte("\x01\xff\xff\xff\xff\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, src []byte) {
		reads(t, TimedCodec[string]{plain{}}, src)
		reads(t, LonelyCodec[string]{plain{}}, src)
		reads(t, lonersCodec[string, string]{plain{}, plain{}}, src)
		reads(t, VersionCodec[string]{plain{}}, src)
		reads(t, versionValue[string]{plain{}}, src)
		reads(t, KeyIDCodec[string, string]{plain{}, plain{}}, src)
		reads(t, SubscriberCodec[string, string]{plain{}, plain{}}, src)
		reads(t, TimerKeyCodec[string]{[]string{"Due", "Paid"}, plain{}}, src)
		reads(t, AlarmCodec{}, src)
		reads(t, ParkedCodec[string]{plain{}}, src)
		for _, due := range []func([]byte) (Time, Time, bool){TimedCodec[string]{}.DueOf, VersionCodec[string]{}.DueOf, WaitingCodec[string]{}.DueOf} {
			due(src)
		}
	})
}

// plain is text as it is.
type plain struct{}

func (plain) Append(b []byte, s string) ([]byte, error) { return append(b, s...), nil }
func (plain) Decode(b []byte) (string, error)           { return string(b), nil }

func seed[T any](f *testing.F, c Codec[T], v T) {
	b, err := c.Append(nil, v)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
}

func reads[T any](t *testing.T, c Codec[T], src []byte) {
	t.Helper()
	var v T
	var err error
	allocated.Within(t, fmt.Sprintf("%T", c), allocated.For(len(src)), func() { v, err = c.Decode(src) })
	if err != nil {
		placed.Error(t, err, len(src))
		return
	}
	b, err := c.Append([]byte{}, v)
	if err != nil {
		t.Fatalf("%T: %q is read as %v, which cannot be written: %v", c, src, v, err)
	}
	if again, err := c.Decode(b); err != nil || fmt.Sprint(again) != fmt.Sprint(v) {
		t.Fatalf("%T: %q is read as %v, then as %v, %v", c, src, v, again, err)
	}
}
