package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var rewritePictures = flag.Bool("pictures", false, "write the pictures of the examples' READMEs anew")

// picture is a line that says how a picture is made, and the picture.
var picture = regexp.MustCompile("(?s)`processor (topology describe [^`]+)` draws:\n\n```mermaid\n(.*?)```\n")

// A picture of an example's README is what the line above it draws. No topology of this binary
// goes without one.
func TestPictures(t *testing.T) {
	readmes, err := filepath.Glob("../../examples/*/README.md")
	if err != nil || len(readmes) == 0 {
		t.Fatal(readmes, err)
	}
	drawn := []string{}
	for _, file := range readmes {
		old, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := picture.ReplaceAllStringFunc(string(old), func(s string) string {
			args := strings.Fields(picture.FindStringSubmatch(s)[1])
			code, out, errs := here(t, args...)
			if code != 0 {
				t.Fatalf("%s: %v: %s", file, args, errs)
			}
			drawn = append(drawn, args[2:]...)
			line, _, _ := strings.Cut(s, "\n")
			return line + "\n\n```mermaid\n" + out + "```\n"
		})
		if n := len(picture.FindAllString(text, -1)); n != strings.Count(text, "```mermaid") {
			t.Errorf("%s: %d pictures are made by a line above them, and there are %d", file, n, strings.Count(text, "```mermaid"))
		}
		switch {
		case text == string(old):
		case *rewritePictures:
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s: its pictures are not what the topologies are: make pictures", file)
		}
	}
	for _, b := range program().Topologies {
		if !slices.Contains(drawn, b.Name()) {
			t.Errorf("topology %s is in no README's picture", b.Name())
		}
	}
}
