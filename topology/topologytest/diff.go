package topologytest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// diff shows two lists side by side: "  " what both have, "- " what is missing, "+ " what
// is too much. Where one value stands for another, it says which fields differ.
func diff[V any](got, want []V) string {
	// common[i][j] is the length of the longest common part of got[i:] and want[j:].
	common := make([][]int, len(got)+1)
	for i := range common {
		common[i] = make([]int, len(want)+1)
	}
	same := func(i, j int) bool { return reflect.DeepEqual(got[i], want[j]) }
	for i := len(got) - 1; i >= 0; i-- {
		for j := len(want) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); same(i, j) {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var b strings.Builder
	i, j := 0, 0
	for i < len(got) || j < len(want) {
		switch {
		case i < len(got) && j < len(want) && same(i, j):
			fmt.Fprintf(&b, "    %+v\n", got[i])
			i, j = i+1, j+1
		case i < len(got) && j < len(want) && common[i+1][j+1] == common[i][j]:
			line(&b, got[i], want[j])
			i, j = i+1, j+1
		case i < len(got) && (j == len(want) || common[i+1][j] >= common[i][j+1]):
			fmt.Fprintf(&b, "  + %+v\n", got[i])
			i++
		default:
			fmt.Fprintf(&b, "  - %+v\n", want[j])
			j++
		}
	}
	return b.String()
}

// diffRows is diff for the rows of a table.
func diffRows[K comparable, V any](got, want map[K]V) string {
	var keys []K
	for k := range got {
		keys = append(keys, k)
	}
	for k := range want {
		if _, ok := got[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b K) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	var b strings.Builder
	for _, k := range keys {
		g, ok1 := got[k]
		w, ok2 := want[k]
		switch {
		case !ok1:
			fmt.Fprintf(&b, "  - %v: %+v\n", k, w)
		case !ok2:
			fmt.Fprintf(&b, "  + %v: %+v\n", k, g)
		case reflect.DeepEqual(g, w):
			fmt.Fprintf(&b, "    %v: %+v\n", k, g)
		default:
			fmt.Fprintf(&b, "  * %v:\n", k)
			line(&b, g, w)
		}
	}
	return b.String()
}

// line shows one value that stands for another.
func line(b *strings.Builder, got, want any) {
	fmt.Fprintf(b, "  - %+v\n  + %+v\n", want, got)
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	if !g.IsValid() || !w.IsValid() || g.Kind() != reflect.Struct || g.Type() != w.Type() || g.NumField() < 2 {
		return
	}
	for i := range g.NumField() {
		if !reflect.DeepEqual(exported(g.Field(i)), exported(w.Field(i))) {
			fmt.Fprintf(b, "      %s: %#v, want %#v\n", g.Type().Field(i).Name, exported(g.Field(i)), exported(w.Field(i)))
		}
	}
}

// exported is the value of a field; of an unexported one its text.
func exported(v reflect.Value) any {
	if v.CanInterface() {
		return v.Interface()
	}
	return fmt.Sprintf("%+v", v)
}
