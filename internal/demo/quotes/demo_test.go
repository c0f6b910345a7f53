package quotes

import (
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/examples/quoting"
)

func someBooks() *books {
	at := time.UnixMilli(1000)
	v1, v2 := quoting.Risk{Age: 20, City: "Rome", Version: 1}, quoting.Risk{Age: 21, City: "Pisa", Version: 2}
	b := &books{
		versions: map[string][]version{"c": {{v1, at}, {v2, at.Add(time.Second)}}},
		requests: map[string]asked{"r1": {quoting.Request{RequestID: "r1", CustomerID: "c"}, at.Add(time.Millisecond)}, "r2": {quoting.Request{RequestID: "r2", CustomerID: "c"}, at.Add(2 * time.Second)}},
		changes:  map[string]int{"c": 2}, asks: map[string]int{"c": 2},
	}
	q1, q2 := quoting.Price(b.requests["r1"].Request, v1), quoting.Price(b.requests["r2"].Request, v2)
	b.quotes = [2][]quoting.Quote{{q1, quoting.Price(b.requests["r2"].Request, v1)}, {q1, q2}} // one is stale
	return b
}

func TestAudit(t *testing.T) {
	const want = "requests=2 quotes=4 missing=0 duplicated=0 wrong=0 calls=2 stale_by_notification=1 stale_by_state_transfer=0"
	if r := someBooks().judge(); !r.Clean() || r.String() != want {
		t.Fatal(r, r.Examples)
	}
	for what, spoil := range map[string]func(*books){
		"lost":     func(b *books) { b.quotes[0] = b.quotes[0][:1] },
		"doubled":  func(b *books) { b.quotes[1] = append(b.quotes[1], b.quotes[1][0]) },
		"invented": func(b *books) { b.quotes[1][0].RequestID = "r9" },
		"wrong":    func(b *books) { b.quotes[1][0].Cents++ },
		"called":   func(b *books) { b.asks["c"]++ },
		"silent":   func(b *books) { b.asks["c"]-- },
	} {
		b := someBooks()
		if spoil(b); b.judge().Clean() {
			t.Errorf("%s: nothing was found", what)
		}
	}
}
