package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is a rule that is broken.
type mutant struct {
	rule     string // that it breaks
	file     string // in core
	old, new string
	in       suite // that notices it, as far as is known: it is tried first
}

// mutants are all of them.
func mutants() []mutant {
	return slices.Concat(windowMutants, joinMutants, tableMutants, timeMutants)
}

// envMutant names the mutant that a test binary runs with, by its number from 1; 0, or nothing:
// none.
const envMutant = "LIMPET_MUTANT"

const chooser = `package core

import (
	"os"
	"strconv"
)

var mutation, _ = strconv.Atoi(os.Getenv("` + envMutant + `"))
`

// overlayOf writes the files of core with all mutants, and what tells the compiler of them.
//
// The body of a function with mutants becomes a switch: a body for each of them, and its own one
// by default. So all are compiled at once, which takes far longer than the tests.
func overlayOf(all []mutant, root, tmp string) (string, error) {
	dir, err := filepath.Abs(filepath.Join(root, "core"))
	if err != nil {
		return "", err
	}
	files := map[string]string{filepath.Join(dir, "mutants_of_overlay.go"): chooser}
	numbers := map[string][]int{}
	for i, m := range all {
		numbers[m.file] = append(numbers[m.file], i+1)
	}
	for file, ns := range numbers {
		src, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return "", err
		}
		if files[filepath.Join(dir, file)], err = switched(string(src), all, ns); err != nil {
			return "", fmt.Errorf("core/%s: %w", file, err)
		}
	}
	replace := map[string]string{}
	for path, src := range files {
		changed := filepath.Join(tmp, filepath.Base(path))
		if err := os.WriteFile(changed, []byte(src), 0o600); err != nil {
			return "", err
		}
		replace[path] = changed
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(tmp, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

// switched is a file with the mutants of those numbers.
func switched(src string, all []mutant, numbers []int) (string, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", src, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	var errs []error
	at, placed := 0, 0
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		from, to := fset.Position(fn.Body.Lbrace).Offset+1, fset.Position(fn.Body.Rbrace).Offset
		body, cases := src[from:to], ""
		for _, n := range numbers {
			m := &all[n-1]
			i := strings.Index(src, m.old)
			if i < from || i+len(m.old) > to {
				continue
			}
			placed++
			mutated := body[:i-from] + m.new + body[i-from+len(m.old):]
			cases += fmt.Sprintf("\tcase %d:\n%s\n", n, mutated)
			if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() {"+mutated+"}", parser.SkipObjectResolution); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", m.rule, err))
			}
		}
		if cases != "" {
			out.WriteString(src[at:from] + "\n\tswitch mutation {\n" + cases + "\tdefault:\n" + body + "\n\t}\n")
			at = to
		}
	}
	for _, n := range numbers {
		if c := strings.Count(src, all[n-1].old); c != 1 {
			errs = append(errs, fmt.Errorf("%s: the text is there %d times, once is right: %q", all[n-1].rule, c, all[n-1].old))
		}
	}
	if len(errs) == 0 && placed != len(numbers) {
		errs = append(errs, fmt.Errorf("%d of %d mutants are within a function", placed, len(numbers)))
	}
	out.WriteString(src[at:])
	return out.String(), errors.Join(errs...)
}
