package lint

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestHouse holds this repository to its rules.
func TestHouse(t *testing.T) {
	t.Parallel()
	findings, err := Check("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

// TestPlanted builds each small house of testdata and wants all of its planted
// offences found, and nothing else.
func TestPlanted(t *testing.T) {
	t.Parallel()
	houses, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(houses) == 0 {
		t.Fatalf("no houses: %v", err)
	}
	for _, house := range houses {
		t.Run(strings.TrimSuffix(filepath.Base(house), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(house)
			if err != nil {
				t.Fatal(err)
			}
			root := build(t, a)
			findings, err := Check(root)
			if err != nil {
				t.Fatal(err)
			}
			wants := wanted(t, root)
			for _, f := range findings {
				key := fmt.Sprintf("%s:%d", f.File, f.Line)
				i := slices.IndexFunc(wants[key], func(w *regexp.Regexp) bool { return w.MatchString(f.Rule + ": " + f.Text) })
				if i < 0 {
					t.Errorf("not wanted: %s", f)
					continue
				}
				wants[key] = slices.Delete(wants[key], i, i+1)
			}
			n := 0
			for key, left := range wants {
				for _, w := range left {
					t.Errorf("%s: no finding like %q", key, w)
				}
				n++
			}
			if n == 0 {
				t.Error("nothing is planted here")
			}
		})
	}
}

// What planted houses import from outside.
var outside = []string{
	"github.com/IBM/sarama", "github.com/reugn/go-streams", "github.com/reugn/go-streams/flow",
	"github.com/cockroachdb/pebble/v2", "github.com/cockroachdb/pebble/v2/vfs", "github.com/cockroachdb/datadriven",
	"github.com/spf13/cobra", "pgregory.net/rapid",
}

// build writes the house and stubs of what it imports, and returns its folder.
func build(t *testing.T, a *txtar.Archive) string {
	t.Helper()
	write := func(file, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stubs, root := t.TempDir(), t.TempDir()
	mod := "module house.test/limpet\n\ngo 1.26\n"
	for _, path := range outside {
		dir := filepath.Join(stubs, path)
		name := filepath.Base(strings.ReplaceAll(strings.TrimSuffix(path, "/v2"), "-", ""))
		write(filepath.Join(dir, "stub.go"), "package "+name+"\n\ntype T int\n")
		if !strings.HasSuffix(path, "/flow") && !strings.HasSuffix(path, "/vfs") {
			version := "v0.0.0"
			if strings.HasSuffix(path, "/v2") {
				version = "v2.0.0"
			}
			write(filepath.Join(dir, "go.mod"), "module "+path+"\n\ngo 1.26\n")
			mod += fmt.Sprintf("require %s %s\nreplace %s => %s\n", path, version, path, dir)
		}
	}
	write(filepath.Join(root, "go.mod"), mod)
	for _, f := range a.Files {
		write(filepath.Join(root, f.Name), padded(t, string(f.Data)))
	}
	return root
}

var pad = regexp.MustCompile(`(?m)^//pad to (\d+)\n`)

// padded brings a text with the line "//pad to N" to N lines.
func padded(t *testing.T, text string) string {
	t.Helper()
	m := pad.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(text, m[0], strings.Repeat("\n", n-strings.Count(text, "\n")+1), 1)
}

var (
	want  = regexp.MustCompile("// want ((?:\"[^\"]+\" ?)+)")
	quote = regexp.MustCompile(`"([^"]+)"`)
)

// wanted collects the patterns of a house by file:line.
func wanted(t *testing.T, root string) map[string][]*regexp.Regexp {
	t.Helper()
	wants := make(map[string][]*regexp.Regexp)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if m := want.FindStringSubmatch(line); m != nil {
				key := fmt.Sprintf("%s:%d", filepath.ToSlash(rel), i+1)
				for _, q := range quote.FindAllStringSubmatch(m[1], -1) {
					wants[key] = append(wants[key], regexp.MustCompile(q[1]))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return wants
}

// A finding can only be looked up when it says where it is.
func TestFindingString(t *testing.T) {
	t.Parallel()
	f := Finding{File: "core/clock.go", Line: 12, Rule: "pure", Text: "time.Now"}
	if got, want := f.String(), "core/clock.go:12: pure: time.Now"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
