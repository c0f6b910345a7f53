package cli

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/shell"
)

// size is a setting in bytes, such as 512MiB.
type size int64

var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

func (s *size) Set(v string) error {
	number, unit := strings.TrimSpace(v), 1.0
	for _, u := range sizeUnits {
		if n := len(number) - len(u.name); n > 0 && strings.EqualFold(number[n:], u.name) {
			number, unit = strings.TrimSpace(number[:n]), u.bytes
			break
		}
	}
	x, err := strconv.ParseFloat(number, 64)
	if x *= unit; err != nil || !(x >= 0 && x <= math.MaxInt64/2) || x != math.Trunc(x) {
		return fmt.Errorf("%q is not a size such as 512MiB or 2GiB", v)
	}
	*s = size(x)
	return nil
}

// String is 0 for none: so help prints no default, where the usage says what none means.
func (s *size) String() string {
	if *s == 0 {
		return "0"
	}
	for _, u := range sizeUnits[:4] {
		if n := float64(*s) / u.bytes; n >= 1 && n == math.Trunc(n) {
			return fmt.Sprintf("%.0f%s", n, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(*s))
}

func (s *size) Type() string { return "size" }

// limitHeap has Go's collector keep the heap below limit, and collect as often as shell.GoPercent says, unless
// the environment says otherwise (GOMEMLIMIT, GOGC). It returns what takes that back.
func limitHeap(limit int64) (undo func()) {
	before := debug.SetMemoryLimit(-1)
	if before == math.MaxInt64 {
		debug.SetMemoryLimit(limit)
	}
	percent := debug.SetGCPercent(shell.GoPercent)
	if os.Getenv("GOGC") != "" {
		debug.SetGCPercent(percent)
	}
	return func() {
		debug.SetMemoryLimit(before)
		debug.SetGCPercent(percent)
	}
}
