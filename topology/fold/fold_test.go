package fold_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/fold"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

type bid struct {
	ID, Price int
}

func (b bid) price() int { return b.Price }

func drawBids(t *rapid.T) (bids []bid) {
	for i := range rapid.IntRange(0, 20).Draw(t, "bids") {
		bids = append(bids, bid{i, rapid.IntRange(0, 5).Draw(t, "price")})
	}
	return bids
}

func foldAll[A, V any](f func(A, V) A, vs []V) (a A) {
	for _, v := range vs {
		a = f(a, v)
	}
	return a
}

func TestFoldsAreAsTheModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bids := drawBids(t)
		n := rapid.IntRange(-1, 6).Draw(t, "n")
		cut := rapid.IntRange(0, len(bids)).Draw(t, "cut")
		early, later := bids[:cut], bids[cut:]

		sorted := slices.Clone(bids)
		slices.SortStableFunc(sorted, func(a, b bid) int { return cmp.Compare(b.Price, a.Price) })
		want := sorted[:min(max(n, 0), len(sorted))]
		top := fold.TopOf(n, bid.price)
		if got := foldAll(top, bids); !slices.Equal(got, want) {
			t.Fatalf("top %d: %v, want %v", n, got, want)
		}
		if got := fold.MergeTop(n, bid.price)(foldAll(top, early), foldAll(top, later)); !slices.Equal(got, want) {
			t.Fatalf("merged top %d: %v, want %v", n, got, want)
		}

		most := max(n, 0)
		var set []int
		sum := 0
		counts := map[int]int64{}
		for _, b := range bids {
			if sum, counts[b.Price] = sum+b.Price, counts[b.Price]+1; !slices.Contains(set, b.Price) {
				set = append(set, b.Price)
			}
		}
		all := set
		if most > 0 {
			set = set[:min(most, len(set))]
		}
		distinct := fold.DistinctOf(most, bid.price)
		if got := foldAll(distinct, bids); !slices.Equal(got, set) {
			t.Fatalf("distinct: %v, want %v", got, set)
		}
		if got := fold.MergeDistinct[int](most)(foldAll(distinct, early), foldAll(distinct, later)); !slices.Equal(got, set) {
			t.Fatalf("merged: %v, want %v", got, set)
		}

		tally := fold.TallyOf(bid.price)
		got := foldAll(tally, bids)
		if merged := fold.MergeTally(foldAll(tally, early), foldAll(tally, later)); !slices.Equal(got, merged) {
			t.Fatalf("tally: %v, merged %v", got, merged)
		}
		for i, v := range all {
			if got[i] != (fold.Tallied[int]{Value: v, Count: counts[v]}) {
				t.Fatalf("tally: %v", got)
			}
		}
		avg := foldAll(fold.AvgOf(bid.price), bids)
		if avg != (fold.Avg[int]{Sum: sum, Count: int64(len(bids))}) || foldAll(fold.SumOf(bid.price), bids) != sum {
			t.Fatalf("%v, want %d of %d", avg, sum, len(bids))
		}
		if merged := fold.MergeAvg(foldAll(fold.AvgOf(bid.price), early), foldAll(fold.AvgOf(bid.price), later)); merged != avg {
			t.Fatalf("%v, merged %v", avg, merged)
		}

		// What is taken out again leaves no trace.
		lessAvg, lessTally, lessSum := fold.AvgLess(bid.price), fold.TallyLess(bid.price), fold.SumLess(bid.price)
		for _, b := range early {
			avg, got, sum = lessAvg(avg, b), lessTally(got, b), lessSum(sum, b)
		}
		if avg != foldAll(fold.AvgOf(bid.price), later) || sum != foldAll(fold.SumOf(bid.price), later) {
			t.Fatalf("taken out: %v, %v", avg, sum)
		}
		for _, v := range got {
			if n := foldAll(func(n int64, b bid) int64 {
				if b.Price == v.Value {
					n++
				}
				return n
			}, later); n != v.Count || n == 0 {
				t.Fatalf("taken out: %v", got)
			}
		}
	})
}

func TestExtremes(t *testing.T) {
	a, b, c := bid{1, 5}, bid{2, 5}, bid{3, 7}
	least, most := fold.MinBy(bid.price), fold.MaxBy(bid.price)
	for what, ok := range map[string]bool{
		"min":       fold.Min(2, 1) == 1 && fold.Min("a", "b") == "a",
		"max":       fold.Max(2, 1) == 2 && fold.Max("a", "b") == "b",
		"least":     least(a, b) == a && least(c, a) == a && least(a, c) == a,
		"greatest":  most(a, b) == a && most(c, a) == c && most(a, c) == c,
		"first":     fold.First(a, b) == a,
		"last":      fold.Last(a, b) == b,
		"less":      fold.Less(fold.Sum(3, 4), 4) == 3,
		"mean":      fold.Avg[int]{Sum: 7, Count: 2}.Mean() == 3.5 && fold.Avg[int]{}.Mean() == 0,
		"not a sum": fold.AvgLess(func(f float64) float64 { return f })(fold.Avg[float64]{Sum: math.Nextafter(0.1, 1), Count: 1}, 0.1) == fold.Avg[float64]{},
		"absent":    len(fold.TallyLess(bid.price)(nil, a)) == 0,
	} {
		if !ok {
			t.Error(what)
		}
	}
}

var (
	bids = topology.NewTopic("bids", codec.String, codec.JSON[bid]())
	rows = topology.NewTopic("bid-rows", codec.String, codec.JSON[bid]())
)

// In a topology: the driver finds functions that change what they are given.
func TestFoldsInATopology(t *testing.T) {
	b := topology.New("folds")
	in := bids.Stream(b)
	topology.Aggregate(in, "top", fold.TopOf(2, bid.price))
	topology.Aggregate(in, "distinct", fold.DistinctOf(2, bid.price))
	topology.Aggregate(in, "avg", fold.AvgOf(bid.price))
	topology.Aggregate(in, "tally", fold.TallyOf(bid.price))
	topology.Reduce(in, "best", fold.MaxBy(bid.price))
	table := rows.Table(b)
	everything := func(bid) string { return "all" }
	topology.AggregateTable(table, "open", everything, fold.TallyOf(bid.price), fold.TallyLess(bid.price))
	topology.AggregateTable(table, "mean", everything, fold.AvgOf(bid.price), fold.AvgLess(bid.price))
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, rows := topologytest.Topic(d, bids), topologytest.Topic(d, rows)
		for i, price := range []int{5, 7, 5, 9, 7} {
			in.Send("k", bid{i, price})
		}
		rows.Send("a", bid{1, 5})
		rows.Send("b", bid{2, 7})
		rows.Send("a", bid{1, 7})
		rows.Send("c", bid{3, 5})
		rows.Delete("c")
		for name, want := range map[string]string{
			"top": "[{3 9} {1 7}]", "distinct": "[5 7]", "avg": "{33 5}", "tally": "[{5 2} {7 2} {9 1}]", "best": "{3 9}",
		} {
			if got := row(d, name, "k"); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
		if got := row(d, "open", "all") + row(d, "mean", "all"); got != "[{7 2}]{14 2}" {
			t.Errorf("got %s", got)
		}
	}, b)
}

func row(d *topologytest.Driver, name, key string) string {
	var v any
	switch name {
	case "top":
		v, _ = topologytest.Table[string, []bid](d, name).Get(key)
	case "distinct":
		v, _ = topologytest.Table[string, []int](d, name).Get(key)
	case "avg", "mean":
		v, _ = topologytest.Table[string, fold.Avg[int]](d, name).Get(key)
	case "tally", "open":
		v, _ = topologytest.Table[string, []fold.Tallied[int]](d, name).Get(key)
	case "best":
		v, _ = topologytest.Table[string, bid](d, name).Get(key)
	}
	return fmt.Sprint(v)
}
