package fold

import (
	"cmp"
	"slices"
)

// Number is what can be summed up. Whole numbers wrap around where they do not fit.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// Sum is a + b.
func Sum[N Number](a, b N) N { return a + b }

// Less is a - b: it takes out what Sum added.
func Less[N Number](a, b N) N { return a - b }

// Min is the lesser one; of equal ones the earlier.
func Min[T cmp.Ordered](a, b T) T {
	if cmp.Less(b, a) {
		return b
	}
	return a
}

// Max is the greater one; of equal ones the earlier.
func Max[T cmp.Ordered](a, b T) T {
	if cmp.Less(a, b) {
		return b
	}
	return a
}

// MinBy keeps the value of which of is the least; of equal ones the earliest.
func MinBy[V any, T cmp.Ordered](of func(V) T) func(V, V) V {
	return func(a, b V) V {
		if cmp.Less(of(b), of(a)) {
			return b
		}
		return a
	}
}

// MaxBy keeps the value of which of is the greatest; of equal ones the earliest.
func MaxBy[V any, T cmp.Ordered](of func(V) T) func(V, V) V {
	return func(a, b V) V {
		if cmp.Less(of(a), of(b)) {
			return b
		}
		return a
	}
}

// First keeps the value that came first.
func First[V any](a, _ V) V { return a }

// Last keeps the value that came last.
func Last[V any](_, b V) V { return b }

// SumOf sums up what of makes of each value.
func SumOf[V any, N Number](of func(V) N) func(N, V) N {
	return func(sum N, v V) N { return sum + of(v) }
}

// SumLess takes out what SumOf added.
func SumLess[V any, N Number](of func(V) N) func(N, V) N {
	return func(sum N, v V) N { return sum - of(v) }
}

// Avg is a sum and of how many values.
type Avg[N Number] struct {
	Sum   N     `json:"sum"`
	Count int64 `json:"count"`
}

// Mean is the sum divided by the count; 0 of no values.
func (a Avg[N]) Mean() float64 {
	if a.Count == 0 {
		return 0
	}
	return float64(a.Sum) / float64(a.Count)
}

// AvgOf sums and counts what of makes of each value.
func AvgOf[V any, N Number](of func(V) N) func(Avg[N], V) Avg[N] {
	return func(a Avg[N], v V) Avg[N] { return Avg[N]{a.Sum + of(v), a.Count + 1} }
}

// AvgLess takes out what AvgOf added. Of no values the sum is 0, also where floats were
// rounded.
func AvgLess[V any, N Number](of func(V) N) func(Avg[N], V) Avg[N] {
	return func(a Avg[N], v V) Avg[N] {
		if a.Count <= 1 {
			return Avg[N]{}
		}
		return Avg[N]{a.Sum - of(v), a.Count - 1}
	}
}

// MergeAvg puts two together, for Merging.
func MergeAvg[N Number](a, b Avg[N]) Avg[N] { return Avg[N]{a.Sum + b.Sum, a.Count + b.Count} }

// TopOf keeps the n values of which by is the greatest, the greatest first; of equal ones the
// earlier goes first, and stays. n below 1 keeps none.
func TopOf[V any, T cmp.Ordered](n int, by func(V) T) func([]V, V) []V {
	return func(top []V, v V) []V {
		i := len(top)
		for at := by(v); i > 0 && cmp.Less(by(top[i-1]), at); {
			i--
		}
		if i >= n {
			return top
		}
		keep := min(len(top), n-1)
		out := make([]V, 0, keep+1)
		out = append(append(out, top[:i]...), v)
		return append(out, top[i:keep]...)
	}
}

// MergeTop puts two of TopOf together, for Merging.
func MergeTop[V any, T cmp.Ordered](n int, by func(V) T) func(a, b []V) []V {
	add := TopOf(n, by)
	return func(a, b []V) []V {
		for _, v := range b {
			a = add(a, v)
		}
		return a
	}
}

// DistinctOf keeps what of makes of the values, each once, in the order in which they came;
// the first most of them, or all where most is 0. A row grows with them, and each new one
// copies it.
func DistinctOf[V any, T comparable](most int, of func(V) T) func([]T, V) []T {
	return func(set []T, v V) []T { return distinct(most, set, of(v)) }
}

// MergeDistinct puts two of DistinctOf together, for Merging.
func MergeDistinct[T comparable](most int) func(a, b []T) []T {
	return func(a, b []T) []T {
		for _, v := range b {
			a = distinct(most, a, v)
		}
		return a
	}
}

func distinct[T comparable](most int, set []T, v T) []T {
	if most > 0 && len(set) >= most || slices.Contains(set, v) {
		return set
	}
	return append(slices.Clip(set), v)
}

// Tallied is a value and how often it is there.
type Tallied[T comparable] struct {
	Value T     `json:"value"`
	Count int64 `json:"count"`
}

// TallyOf counts what of makes of the values, in the order in which they first came. It is
// DistinctOf for tables, since values can be taken out again. A row grows with the
// different values, and each change copies it.
func TallyOf[V any, T comparable](of func(V) T) func([]Tallied[T], V) []Tallied[T] {
	return func(all []Tallied[T], v V) []Tallied[T] { return tally(all, of(v), 1) }
}

// TallyLess takes out what TallyOf counted; a value that is there no more is gone.
func TallyLess[V any, T comparable](of func(V) T) func([]Tallied[T], V) []Tallied[T] {
	return func(all []Tallied[T], v V) []Tallied[T] { return tally(all, of(v), -1) }
}

// MergeTally puts two of TallyOf together, for Merging.
func MergeTally[T comparable](a, b []Tallied[T]) []Tallied[T] {
	for _, t := range b {
		a = tally(a, t.Value, t.Count)
	}
	return a
}

func tally[T comparable](all []Tallied[T], v T, n int64) []Tallied[T] {
	i := slices.IndexFunc(all, func(t Tallied[T]) bool { return t.Value == v })
	if i < 0 {
		if n < 0 {
			return all
		}
		return append(slices.Clip(all), Tallied[T]{v, n})
	}
	out := slices.Clone(all)
	if out[i].Count += n; out[i].Count <= 0 {
		out = slices.Delete(out, i, i+1)
	}
	return out
}
