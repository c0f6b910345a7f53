package allocated

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// sink keeps the compiler from leaving out what nobody uses.
var sink []byte

// verdict takes what Within says of a function.
type verdict struct {
	testing.TB
	text string
}

func (*verdict) Helper()                     {}
func (v *verdict) Fatalf(f string, a ...any) { v.text = fmt.Sprintf(f, a...) }

// A decoder that takes a length at its word is seen, one that looks first is not.
func TestWithin(t *testing.T) {
	src := binary.BigEndian.AppendUint32(nil, 1<<20)
	trusting := func() { sink = make([]byte, binary.BigEndian.Uint32(src)) }
	calls := 0
	var v verdict
	if Within(&v, "trusting", For(len(src)), func() { calls++; trusting() }); v.text == "" || calls != tries {
		t.Errorf("a megabyte for %d bytes: %q after %d calls", len(src), v.text, calls)
	}
	v, calls = verdict{}, 0
	Within(&v, "looking", For(len(src)), func() {
		if calls++; int(binary.BigEndian.Uint32(src)) <= len(src)-4 {
			trusting()
		}
	})
	if v.text != "" || calls != 1 {
		t.Errorf("nothing for %d bytes: %q after %d calls", len(src), v.text, calls)
	}
	v, calls = verdict{}, 0
	Within(&v, "once", For(len(src)), func() { // others, who have ended when it is looked at again
		if calls++; calls == 1 {
			trusting()
		}
	})
	if v.text != "" || calls != 2 {
		t.Errorf("what others allocate is held against it: %q after %d calls", v.text, calls)
	}
	large := make([]byte, 1<<20)
	if Within(&v, "in proportion", For(len(large)), func() { sink = append([]byte(nil), large...) }); v.text != "" {
		t.Errorf("a copy: %s", v.text)
	}
}
