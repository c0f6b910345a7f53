package placed

import (
	"regexp"
	"strconv"
	"testing"
)

var byteNumber = regexp.MustCompile(`\bbyte (\d+)\b`)

// Error fails t unless err, of a decoder that was given n bytes, names one of them, or their end.
func Error(t testing.TB, err error, n int) {
	t.Helper()
	if m := byteNumber.FindStringSubmatch(err.Error()); m == nil {
		t.Fatalf("it does not say where: %v", err)
	} else if at, conv := strconv.Atoi(m[1]); conv != nil || at > n {
		t.Fatalf("it names a byte behind the %d that there are: %v", n, err)
	}
}
