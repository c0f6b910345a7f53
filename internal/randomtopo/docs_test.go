package randomtopo

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// notDrawn are the operators and options of docs/operators.md that no random topology has, and why. Each that
// is argued here is argued in docs/reliability.md, too.
var notDrawn = map[string]string{
	"OnDrop": "internal/policies",

	"codec.Union":            "a codec: scenarios saga and choreography",
	"codec.Upcast":           "a codec",
	"codec.PairByFirst":      "a codec of keys: what it changes is where records lie, which Build and sinks see",
	"KeyCodec":               "bytes of keys",
	"ValueCodec":             "bytes of values",
	"StateCodec":             "bytes of rows",
	"envelope.Unwrap":        "a Map with headers",
	"envelope.Wrap":          "a Map with headers",
	"envelope.ByCorrelation": "a KeyBy",

	"Forever":    "what a topic must be, looked at when a process starts",
	"Partitions": "the same; the simulator's topics have as many as the seed says",
	"Named":      "a name for errors and pictures",
}

// TestAllOperatorsAreDrawn: each operator and option of docs/operators.md can be drawn, or is argued above.
func TestAllOperatorsAreDrawn(t *testing.T) {
	docs, err := os.ReadFile("../../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, ok := strings.Cut(string(docs), "\n## Sources and sinks\n")
	tables, _, also := strings.Cut(tables, "\n## Examples\n")
	if !ok || !also {
		t.Fatal("docs/operators.md has other sections")
	}
	first := regexp.MustCompile("(?m)^\\| ([^|]*`[^|]*) \\|")
	name := regexp.MustCompile("`\\.?([A-Za-z.]+)[^`]*`")
	can, found := Operators(), map[string]bool{}
	for _, row := range first.FindAllStringSubmatch(tables, -1) {
		for _, m := range name.FindAllStringSubmatch(row[1], -1) {
			found[m[1]] = true
			_, argued := notDrawn[m[1]]
			if drawn := slices.Contains(can, m[1]); drawn == argued {
				t.Errorf("%s: can be drawn: %v, argued that it is not: %v", m[1], drawn, argued)
			}
		}
	}
	if len(found) < 90 {
		t.Errorf("only %d operators and options were found", len(found))
	}
	for _, n := range can {
		if !found[n] {
			t.Errorf("%s can be drawn, and has no row in docs/operators.md", n)
		}
	}
	for n := range notDrawn {
		if !found[n] {
			t.Errorf("%s is argued, and has no row in docs/operators.md", n)
		}
	}
}

// TestDraw: whatever is drawn can be built, and a few hundred seeds draw everything.
func TestDraw(t *testing.T) {
	drawn := map[string]bool{}
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 0))
		for _, c := range []Config{{}, {InOrder: true, Drawn: func(n string) { drawn[n] = true }}} {
			b, tables, _ := c.Draw(func(n int, _ string) int { return rng.IntN(n) })
			if _, err := b.Build(); err != nil {
				t.Fatalf("seed %d, %+v: %v", seed, c.InOrder, err)
			}
			if len(tables) == 0 {
				t.Errorf("seed %d: no tables", seed)
			}
		}
	}
	for _, n := range Operators() {
		if !drawn[n] {
			t.Errorf("no seed draws %s", n)
		}
	}
}
