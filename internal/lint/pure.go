package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// sortedMark lets a map be ranged over, on its line or the one above; what
// follows it says why the order has no effect.
const sortedMark = "//lint:sorted"

// pure looks at a package whose output must depend on its input alone: no clock,
// no printing, no order of a map. Imports and goroutines are check's.
type pure struct {
	*check
	info *types.Info
}

func (p pure) file(f *ast.File) {
	marks := p.marks(f)
	allowed := func(pos token.Pos) bool {
		line := p.fset.Position(pos).Line
		return marks[line] || marks[line-1]
	}
	var sorted []ast.Node // calls whose result is sorted at once
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.RangeStmt:
			if isMap(p.info.TypeOf(n.X)) && !allowed(n.Pos()) {
				p.find(n.Pos(), "pure", "range over a map: its order is random; sort the keys, or say with %s why it has no effect", sortedMark)
			}
		case *ast.CallExpr:
			if fn := p.called(n); fn != nil && strings.HasPrefix(fn.FullName(), "slices.Sorted") && len(n.Args) > 0 {
				sorted = append(sorted, n.Args[0])
			}
			if fn := p.called(n); fn != nil && randomOrder(fn) && !slices.Contains(sorted, ast.Node(n)) && !allowed(n.Pos()) {
				p.find(n.Pos(), "pure", "%s: its order is random; wrap it in slices.Sorted, or say with %s why it has no effect", short(fn), sortedMark)
			}
		case *ast.Ident:
			p.use(n)
		}
		return true
	})
}

// marks are the lines with a sortedMark that gives its reason.
func (p pure) marks(f *ast.File) map[int]bool {
	lines := make(map[int]bool)
	for _, g := range f.Comments {
		for _, c := range g.List {
			why, ok := strings.CutPrefix(c.Text, sortedMark)
			why, _, _ = strings.Cut(why, "//") // another comment is no reason
			switch {
			case !ok:
			case strings.TrimSpace(why) == "":
				p.find(c.Pos(), "pure", "%s gives no reason", sortedMark)
			default:
				lines[p.fset.Position(c.Pos()).Line] = true
			}
		}
	}
	return lines
}

// use looks at a name of another package, or of the language.
func (p pure) use(id *ast.Ident) {
	obj := p.info.Uses[id]
	switch obj := obj.(type) {
	case *types.Builtin:
		if obj.Name() == "print" || obj.Name() == "println" {
			p.find(id.Pos(), "pure", "%s is an effect", obj.Name())
		}
		return
	case nil, *types.PkgName:
		return
	}
	if obj.Pkg() == nil {
		return
	}
	switch obj.Pkg().Path() {
	case "time":
		if !isDuration(obj) && !isCalendar(obj) {
			p.find(id.Pos(), "pure", "time.%s: of package time, only Duration and its units, and what turns a given time into another form", obj.Name())
		}
	case "fmt":
		if strings.HasPrefix(obj.Name(), "Print") || strings.HasPrefix(obj.Name(), "Scan") {
			p.find(id.Pos(), "pure", "fmt.%s is an effect", obj.Name())
		}
	}
}

// isDuration: the type time.Duration, its constants, its methods.
func isDuration(obj types.Object) bool {
	named := func(t types.Type) bool {
		n, ok := types.Unalias(t).(*types.Named)
		return ok && n.Obj().Name() == "Duration"
	}
	switch obj := obj.(type) {
	case *types.TypeName:
		return obj.Name() == "Duration"
	case *types.Const:
		return named(obj.Type())
	case *types.Func:
		recv := obj.Signature().Recv()
		return recv != nil && named(recv.Type())
	}
	return false
}

// isCalendar: what turns a time that is given into one of package time, and back. It reads no
// clock, and what UTC returns does not depend on the machine's zone.
func isCalendar(obj types.Object) bool {
	switch obj := obj.(type) {
	case *types.TypeName:
		return obj.Name() == "Time"
	case *types.Func:
		return slices.Contains([]string{"time.UnixMilli", "(time.Time).UTC", "(time.Time).UnixMilli"}, obj.FullName())
	}
	return false
}

func (p pure) called(call *ast.CallExpr) *types.Func {
	fun := ast.Unparen(call.Fun)
	switch x := fun.(type) { // maps.Keys[M](m)
	case *ast.IndexExpr:
		fun = x.X
	case *ast.IndexListExpr:
		fun = x.X
	}
	var id *ast.Ident
	switch fun := fun.(type) {
	case *ast.Ident:
		id = fun
	case *ast.SelectorExpr:
		id = fun.Sel
	default:
		return nil
	}
	fn, _ := p.info.Uses[id].(*types.Func)
	return fn
}

func randomOrder(fn *types.Func) bool {
	return slices.Contains([]string{
		"maps.All", "maps.Keys", "maps.Values", "(reflect.Value).MapKeys", "(reflect.Value).MapRange",
	}, fn.FullName())
}

func short(fn *types.Func) string { return fn.Pkg().Name() + "." + fn.Name() }

// isMap tells whether a value of type t may be a map; a type parameter is one
// when any type that it stands for is.
func isMap(t types.Type) bool {
	if t == nil {
		return false
	}
	if tp, ok := types.Unalias(t).(*types.TypeParam); ok {
		return anyTerm(tp.Constraint().Underlying())
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

func anyTerm(t types.Type) bool {
	i, ok := t.Underlying().(*types.Interface)
	if !ok {
		return isMap(t)
	}
	for e := range i.EmbeddedTypes() {
		if u, ok := e.(*types.Union); ok {
			for term := range u.Terms() {
				if anyTerm(term.Type()) {
					return true
				}
			}
			continue
		}
		if anyTerm(e) {
			return true
		}
	}
	return false
}
