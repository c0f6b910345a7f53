package core

import (
	"errors"
	"fmt"
	"testing"
)

// Each part adds where it begins, and the position is said once where nobody has wrapped it.
func TestMalformedPart(t *testing.T) {
	short := Malformed(3, "%d bytes", 3)
	for _, c := range []struct {
		err  error
		at   int
		text string
	}{
		{short, 3, "byte 3: 3 bytes"},
		{MalformedPart(5, "key", short), 8, "byte 8: key: 3 bytes"},
		{MalformedPart(2, "row", MalformedPart(5, "key", short)), 10, "byte 10: row: key: 3 bytes"},
		{MalformedPart(5, "key", fmt.Errorf("mine: %w", short)), 8, "byte 8: key: mine: byte 3: 3 bytes"},
		{MalformedPart(5, "key", errors.New("no colour")), 5, "byte 5: key: no colour"},
	} {
		var e *DecodeError
		if !errors.As(c.err, &e) || e.At != c.at || c.err.Error() != c.text {
			t.Errorf("got %v, want %s", c.err, c.text)
		}
	}
	if err := MalformedPart(5, "key", nil); err != nil {
		t.Error(err)
	}
}
