package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLeaksAreLookedFor: each package with tests that starts goroutines has goleak watch them.
func TestLeaksAreLookedFor(t *testing.T) {
	t.Parallel()
	const root = "../.."
	starts, tests, watched := map[string]string{}, map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := e.Name(); e.IsDir() && path != root && (name == "testdata" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") {
			b, err := os.ReadFile(path)
			tests[dir] = true
			watched[dir] = watched[dir] || strings.Contains(string(b), "goleak.Verify") || strings.Contains(string(b), "goleak.Find(")
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				starts[dir] = path
			case *ast.CallExpr: // of a WaitGroup
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Go" && len(n.Args) == 1 {
					starts[dir] = path
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(starts) < 10 {
		t.Errorf("only %d packages start goroutines: this test has lost its eyes", len(starts))
	}
	for dir, path := range starts {
		if tests[dir] && !watched[dir] {
			t.Errorf("%s starts a goroutine, and no test of its package calls goleak", path)
		}
	}
}
