package lint

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// Finding is a broken rule.
type Finding struct {
	File string // from the module's folder
	Line int
	Rule string // imports, pure, goroutines, doc, length, load
	Text string
}

func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Rule, f.Text) }

// Check holds the module in dir to the rules. Its code must compile: what does
// not is a finding too, since it was not looked at.
func Check(dir string) ([]Finding, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := &check{root: root, fset: token.NewFileSet()}
	pkgs, err := packages.Load(&packages.Config{
		Dir:  root,
		Fset: c.fset,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedModule |
			packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo,
		Env: append(os.Environ(), "GOWORK=off"),
	}, "./...")
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	for _, p := range pkgs {
		if err := c.pkg(p); err != nil {
			return nil, err
		}
	}
	if err := c.lengths(); err != nil {
		return nil, err
	}
	slices.SortFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(c.findings), nil
}

type check struct {
	root     string
	fset     *token.FileSet
	findings []Finding
}

func (c *check) find(pos token.Pos, rule, format string, args ...any) {
	p := c.fset.Position(pos)
	c.findings = append(c.findings, Finding{File: c.rel(p.Filename), Line: p.Line, Rule: rule, Text: fmt.Sprintf(format, args...)})
}

func (c *check) rel(file string) string {
	if r, err := filepath.Rel(c.root, file); err == nil {
		return filepath.ToSlash(r)
	}
	return file
}

func (c *check) pkg(p *packages.Package) error {
	c.broken(p)
	if p.Module == nil || len(p.GoFiles) == 0 {
		return nil // tests only
	}
	own := p.Module.Path
	path := inModule(p.PkgPath, own)
	files, err := c.allFiles(p)
	if err != nil {
		return err
	}
	r, ok := roomOf(path)
	if !ok {
		c.find(files[0].Package, "imports", "%s is no room of the house: internal/lint/rules.go names them", strings.TrimPrefix(path, "./"))
		return nil
	}
	c.doc(p, files)
	for _, f := range files {
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := r.imports(path, inModule(imp, own)); why != "" {
				c.find(spec.Pos(), "imports", "%s", why)
			}
		}
		if within(path, "./shell") || r.pure {
			c.goroutines(p.TypesInfo, f, r)
		}
	}
	if r.pure {
		for _, f := range p.Syntax {
			pure{c, p.TypesInfo}.file(f)
		}
	}
	return nil
}

// broken tells the first error that has a place; go list repeats the compiler's
// without one.
func (c *check) broken(p *packages.Package) {
	if len(p.Errors) == 0 {
		return
	}
	f := Finding{Rule: "load", Text: p.PkgPath + " does not compile: " + p.Errors[0].Msg}
	for _, e := range p.Errors {
		// file:line:column, or "-", or nothing
		if at := strings.Split(e.Pos, ":"); len(at) > 1 {
			f.File, f.Text = c.rel(at[0]), p.PkgPath+" does not compile: "+e.Msg
			f.Line, _ = strconv.Atoi(at[1])
			break
		}
	}
	c.findings = append(c.findings, f)
}

// inModule writes a path of the module as ./path.
func inModule(path, module string) string {
	if within(path, module) {
		return "." + strings.TrimPrefix(path, module)
	}
	return path
}

// allFiles are a package's files, with those that this system does not build.
// The latter have no type information.
func (c *check) allFiles(p *packages.Package) ([]*ast.File, error) {
	files := slices.Clone(p.Syntax)
	for _, name := range p.IgnoredFiles {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(c.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("lint: %w", err)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("lint: %s: no file could be read", p.PkgPath)
	}
	return files, nil
}

// doc: a package is explained in its doc.go, a command above package main.
func (c *check) doc(p *packages.Package, files []*ast.File) {
	for _, f := range files {
		name := filepath.Base(c.fset.Position(f.Package).Filename)
		if f.Doc != nil && (p.Name == "main" || name == "doc.go") {
			return
		}
	}
	first := slices.MinFunc(files, func(a, b *ast.File) int {
		return cmp.Compare(c.fset.Position(a.Package).Filename, c.fset.Position(b.Package).Filename)
	})
	if p.Name == "main" {
		c.find(first.Package, "doc", "package main has no comment that says what the command does")
		return
	}
	c.find(first.Package, "doc", "package %s has no doc.go with a package comment", p.Name)
}

// goroutine starters that are no go statement.
var starters = []string{
	"(*sync.WaitGroup).Go", "(*golang.org/x/sync/errgroup.Group).Go", "(*golang.org/x/sync/errgroup.Group).TryGo",
	"time.AfterFunc", "context.AfterFunc",
}

func (c *check) goroutines(info *types.Info, f *ast.File, r room) {
	name := c.rel(c.fset.Position(f.Package).Filename)
	where := "none begins in " + r.path[2:]
	if !r.pure {
		if slices.ContainsFunc(goroutines, func(at string) bool {
			return name == at || strings.HasSuffix(at, "/") && strings.HasPrefix(name, at)
		}) {
			return
		}
		where = "those of the shell begin in " + strings.Join(goroutines, " and ")
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			c.find(n.Pos(), "goroutines", "go: %s", where)
		case *ast.Ident:
			if fn, ok := info.Uses[n].(*types.Func); ok && slices.Contains(starters, fn.Origin().FullName()) {
				c.find(n.Pos(), "goroutines", "%s starts a goroutine: %s", fn.Name(), where)
			}
		}
		return true
	})
}

// lengths looks at every Go file there is, tests too.
func (c *check) lengths() error {
	return filepath.WalkDir(c.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return c.skip(path, d.Name())
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		lines := bytes.Count(text, []byte("\n"))
		if lines <= linesMax {
			return nil
		}
		f, err := parser.ParseFile(c.fset, path, text, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			return fmt.Errorf("lint: %w", err)
		}
		if !ast.IsGenerated(f) {
			c.find(f.Package, "length", "%d lines, at most %d: split it by concept", lines, linesMax)
		}
		return nil
	})
}

// skip leaves out what ./... leaves out.
func (c *check) skip(path, name string) error {
	if path == c.root {
		return nil
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	if name == "testdata" || name == "vendor" || name[0] == '.' || name[0] == '_' || err == nil {
		return filepath.SkipDir
	}
	return nil
}
