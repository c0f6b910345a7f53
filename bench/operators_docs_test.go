package bench

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// contained are names of docs/operators.md that have no row in the benchmark, since another one
// has what they cost.
var contained = map[string]string{
	"Topic.Stream":      "each row begins with one",
	"Topic.Table":       "Table.To",
	"Topic.GlobalTable": "JoinGlobal",
	"To":                "Stream.To",
	"UntilClosed":       "Suppress",
	"UntilTimeLimit":    "Suppress",
	"Needs":             "Combine",
	"MayHave":           "Combine",
	"On":                "NewProcessor",
	"Output":            "NewProcessor",
	"Read":              "NewProcessor",
	"Timer":             "OnTimer",
}

// Each operator in docs/operators.md is in the benchmark, and there is none in it that the page does
// not name.
func TestOperatorsAreMeasured(t *testing.T) {
	page, err := os.ReadFile("../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, ok := strings.Cut(string(page), "\n## Sources and sinks\n")
	operatorRows, _, also := strings.Cut(tables, "\n## Events\n")
	_, rest, last := strings.Cut(tables, "\n## Options\n")
	options, _, end := strings.Cut(rest, "\n## Examples\n")
	if !ok || !also || !last || !end {
		t.Fatal("docs/operators.md has other sections")
	}
	measured := map[string]bool{} // and whether the page names it
	for _, o := range operators {
		for _, name := range strings.FieldsFunc(o.name, func(r rune) bool { return r == '/' || r == ',' || r == ' ' }) {
			measured[name] = false
		}
	}
	names := firstColumn(operatorRows)
	if len(names) < 70 {
		t.Errorf("%d names of operators", len(names))
	}
	for _, name := range names {
		row := name
		if _, ok := measured[row]; !ok {
			if _, method, ok := strings.Cut(name, "."); ok {
				row = method
			}
		}
		_, has := measured[row]
		if why, not := contained[name]; has == not {
			t.Errorf("%s: measured %v, and contained in another row: %q", name, has, why)
		}
		if has {
			measured[row] = true
		}
	}
	for _, name := range firstColumn(options) {
		if _, ok := measured[name]; ok {
			measured[name] = true
		}
	}
	for name, named := range measured {
		if !named && !plainWords[name] {
			t.Errorf("%s is measured, and docs/operators.md does not name it", name)
		}
	}
}

// plainWords are those of the benchmark's names that name no operator.
var plainWords = map[string]bool{"with": true, "a": true, "row": true, "none": true, "time": true, "limit": true, "closed": true}

var (
	firstCell = regexp.MustCompile(`(?m)^\| ([^|]*)`)
	quoted    = regexp.MustCompile("`\\.?([A-Za-z.]+)[^`]*`")
)

// firstColumn are the names that the first cells of tables have.
func firstColumn(tables string) (names []string) {
	for _, cell := range firstCell.FindAllStringSubmatch(tables, -1) {
		for _, name := range quoted.FindAllStringSubmatch(cell[1], -1) {
			names = append(names, name[1])
		}
	}
	return names
}
