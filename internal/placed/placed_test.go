package placed

import (
	"errors"
	"fmt"
	"testing"
)

// verdict takes what Error says of an error.
type verdict struct {
	testing.TB
	text string
}

func (*verdict) Helper()                     {}
func (v *verdict) Fatalf(f string, a ...any) { v.text += fmt.Sprintf(f, a...) }

func TestError(t *testing.T) {
	for text, want := range map[string]bool{
		"byte 3: cut short":        true,
		"row 7: byte 8: cut short": true,
		"byte 9: cut short":        false,
		"9 bytes":                  false,
	} {
		var v verdict
		Error(&v, errors.New(text), 8)
		if (v.text == "") != want {
			t.Errorf("%q: %q", text, v.text)
		}
	}
}
