package core

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/internal/allocated"
)

func TestHeaders(t *testing.T) {
	var h Headers
	if _, ok := h.Get("a"); ok || h.Count() != 0 || h.Raw() != nil {
		t.Error("the zero Headers are not empty")
	}
	one := h.With("a", "1")
	two := one.With("b", "").With("a", "2")
	if v, ok := one.Get("a"); v != "1" || !ok {
		t.Errorf("With changed its receiver: %q", v)
	}
	if a, _ := two.Get("a"); a != "2" || two.Count() != 2 {
		t.Errorf("a is %q of %d headers, want 2 of 2", a, two.Count())
	}
	if b, ok := two.Get("b"); b != "" || !ok {
		t.Errorf("b is %q, %v", b, ok)
	}
	if got := HeadersOf(two.Raw()); got != two {
		t.Error("Raw and HeadersOf are not the inverse of each other")
	}
	// A null value, and the same key twice: the last counts, as in Kafka's lastHeader.
	raw := AppendHeader(nil, "k", "old")
	raw = append(binary.AppendVarint(append(binary.AppendVarint(raw, 1), 'k'), -1), AppendHeader(nil, "x", "y")...)
	if v, ok := HeadersOf(raw).Get("k"); v != "" || !ok || HeadersOf(raw).Count() != 3 {
		t.Errorf("got %q, %v", v, ok)
	}
}

// Headers of any bytes can be read, and What With writes is read back.
func FuzzHeaders(f *testing.F) {
	f.Add([]byte(nil), "k", "v")
	f.Add(AppendHeader(nil, "k", "v"), "k", "w")
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}, "", "")
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, "a", "b")
	f.Fuzz(func(t *testing.T, raw []byte, key, value string) {
		h := HeadersOf(bytes.Clone(raw))
		before := h.Count()
		var with Headers
		allocated.Within(t, "With", allocated.For(len(raw)+len(key)+len(value)), func() { with = h.With(key, value) })
		if got, ok := with.Get(key); got != value || !ok {
			t.Fatalf("%q is %q, want %q", key, got, value)
		}
		if h.Count() != before || !bytes.Equal(h.Raw(), raw) {
			t.Fatal("With changed its receiver")
		}
		n := 0
		for k := range with.All() {
			if k == key {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("%d headers %q, want 1", n, key)
		}
		for k, v := range h.All() {
			if k == key {
				continue
			}
			if _, ok := with.Get(k); !ok {
				t.Fatalf("With lost %q = %q", k, v)
			}
		}
	})
}

// Headers that share memory are as those that do not, however many come behind them; what is kept
// has memory of its own.
func TestHeaderRoom(t *testing.T) {
	var room headerRoom
	var got, want []Headers
	for n := range 3000 {
		h := Headers{}
		if n > 0 {
			h = want[n*7919%n]
		}
		key, value := "k"+strconv.Itoa(n%5), strings.Repeat("v", n%200)
		if n%500 == 0 {
			value = strings.Repeat("long", headerRoomSize)
			h = Headers{}
		}
		got, want = append(got, room.with(h, key, value)), append(want, h.With(key, value))
	}
	for n, h := range got {
		if h != want[n] {
			t.Fatalf("headers %d: %q, want %q", n, h.raw, want[n].raw)
		}
	}
	raw := AppendHeader(nil, "k", "v")
	kept := HeadersOf(raw).own()
	clear(raw)
	if v, ok := kept.Get("k"); v != "v" || !ok {
		t.Errorf("%q", kept.raw)
	}
	if n := testing.AllocsPerRun(1000, func() { room.with(Headers{}, "k", "v") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
