package topology_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// noOperators are what the package exports beside operators and their options: values, tests, and
// what a program asks a topology for.
var noOperators = strings.Fields(`
	NewTopic Topic.Name Topic.Codecs New Builder.Name Builder.Build Some None TimeOf Window.String Policy.String
	RowOf RowsOf MomentOf
	Draw Plan.Name Plan.Describe Plan.Description Plan.Subtopologies Plan.Globals Subtopology.NewTask
	Source.TopicName Sink.TopicName GlobalSpec.TableSpec TableSpec.ChangelogTopic TableCodecs
`)

// A row has as many cells as its table's head: with one too few the cost stands under what is dropped.
func TestOperatorRowsAreWhole(t *testing.T) {
	docs, err := os.ReadFile("../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rows := 0, 0
	for i, line := range strings.Split(string(docs), "\n") {
		if !strings.HasPrefix(line, "|") {
			head = 0
			continue
		}
		n := strings.Count(line, "|") - 1
		if head == 0 {
			head = n
		}
		if rows++; n != head {
			t.Errorf("docs/operators.md:%d: %d cells, want %d", i+1, n, head)
		}
	}
	if rows < 100 {
		t.Errorf("%d rows", rows)
	}
}

// Each operator and option that the package exports has a row in docs/operators.md, and an example.
func TestOperatorsAreInTheDocs(t *testing.T) {
	docs, err := os.ReadFile("../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	tables, examples, ok := strings.Cut(string(docs), "\n## Examples\n")
	if !ok {
		t.Fatal("docs/operators.md has no examples")
	}
	_, tables, ok = strings.Cut(tables, "\n## Sources and sinks\n") // behind the questions
	if !ok {
		t.Fatal("docs/operators.md has no sources and sinks")
	}
	not := map[string]bool{}
	for _, name := range noOperators {
		not[name] = true
	}
	found := 0
	for _, name := range exported(t) {
		if not[name] {
			delete(not, name)
			continue
		}
		found++
		if !inFirstColumn(tables, name) {
			t.Errorf("%s has no row in docs/operators.md", name)
		}
		if !inFirstColumn(examples, name) {
			t.Errorf("%s has no example in docs/operators.md", name)
		}
	}
	if found < 90 {
		t.Errorf("%d operators and options", found)
	}
	for name := range not {
		t.Errorf("there is no %s", name)
	}
}

// inFirstColumn reports whether a table has a row for a function or method.
func inFirstColumn(tables, name string) bool {
	_, method, ok := strings.Cut(name, ".")
	if !ok {
		method = name
	}
	column := regexp.MustCompile("(?m)^\\| [^|]*`[^`|]*\\b" + method + "\\b[^`|]*`")
	return column.MatchString(tables)
}

// exported are the functions of the package, and the methods of its exported types.
func exported(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() {
				continue
			}
			name := fn.Name.Name
			if fn.Recv != nil {
				of := receiver(fn.Recv.List[0].Type)
				if !ast.IsExported(of) {
					continue
				}
				name = of + "." + name
			}
			names = append(names, name)
		}
	}
	return names
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
