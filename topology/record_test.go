package topology

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/allocated"
	"github.com/seed-81380e12/limpet/internal/placed"
	"github.com/seed-81380e12/limpet/topology/codec"
)

func FuzzRecordCodec(f *testing.F) {
	f.Add("k", "v", int64(5), "h", []byte{1, 2})
	f.Add("", "", int64(-1), "", []byte("\x02\x01k\x00\x02v"))
	f.Fuzz(func(t *testing.T, k, v string, at int64, h string, raw []byte) {
		opt := codec.Optional(codec.String)
		c := recordCodec[string, core.Opt[string]]{codec.String, opt}
		for _, value := range []core.Opt[string]{core.Some(v), core.None[string]()} {
			want := core.Record[string, core.Opt[string]]{Key: k, Value: value, Time: core.Time(at), Headers: core.Headers{}.With(h, v)}
			b, err := c.Append([]byte("x"), want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Decode(b[1:]); err != nil || got != want {
				t.Fatalf("%v is read as %v, %v", want, got, err)
			}
		}
		cc := changeCodec[string]{codec.String}
		for _, want := range []core.Change[string]{{}, {Old: core.Some(k)}, {New: core.Some(v)}, {Old: core.Some(k), New: core.Some(v)}} {
			b, err := cc.Append(nil, want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := cc.Decode(b); err != nil || got != want {
				t.Fatalf("%v is read as %v, %v", want, got, err)
			}
		}
		allocated.Within(t, "Decode", allocated.For(len(raw)), func() {
			_, _ = c.Decode(raw)
			_, _ = cc.Decode(raw)
		})
		if r, err := c.Decode(raw); err == nil {
			b, err := c.Append(nil, r)
			if again, err2 := c.Decode(b); err != nil || err2 != nil || !reflect.DeepEqual(r, again) {
				t.Fatalf("%v becomes %v, %v, %v", r, again, err, err2)
			}
		} else {
			placed.Error(t, err, len(raw))
		}
		if ch, err := cc.Decode(raw); err == nil {
			if b, err := cc.Append(nil, ch); err != nil || len(b) > len(raw) && !bytes.Equal(b, raw) {
				t.Fatalf("%q becomes %q, %v", raw, b, err)
			}
		} else {
			placed.Error(t, err, len(raw))
		}
		// A codec that has no null refuses one.
		plain := recordCodec[string, string]{codec.String, codec.String}
		none, _ := c.Append(nil, core.Record[string, core.Opt[string]]{Key: k})
		if _, err := plain.Decode(none); err == nil {
			t.Fatal("null is read as a string")
		}
	})
}

// The rows of operators, and what travels between them: whatever bytes come, they are read or not,
// and what is read can be written and is then the same.
func FuzzStateCodecs(f *testing.F) {
	f.Add([]byte("\x0a\x02\x00\x02v\x02w"))
	f.Add([]byte("\x01\x05key"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01v"))
	f.Fuzz(func(t *testing.T, src []byte) {
		change := changeCodec[string]{codec.String}
		reads(t, heldCodec[string]{change}, src)
		reads(t, pacedCodec[string]{change}, src)
		reads(t, parkedCodec[string]{codec.String}, src)
		reads(t, subscriptionCodec[string]{codec.String}, src)
		reads(t, answerCodec[string]{codec.String}, src)
	})
}

func reads[T any](t *testing.T, c core.Codec[T], src []byte) {
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
	if again, err := c.Decode(b); err != nil || !reflect.DeepEqual(again, v) {
		t.Fatalf("%T: %q is read as %v, then as %v, %v", c, src, v, again, err)
	}
}

func BenchmarkNewTask(b *testing.B) {
	words := NewTopic("words", codec.String, codec.String)
	bl := New("t")
	Count(KeyBy(words.Stream(bl), "by", func(s string) string { return s }), "count")
	p, err := bl.Build()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p.Subtopologies()[1].NewTask(core.TaskConfig{View: func(core.TableID) core.View { return nil }})
	}
}
