package subscribers

import (
	"testing"

	"github.com/seed-81380e12/limpet/examples/pubsub"
)

func TestAudit(t *testing.T) {
	o := pubsub.Order{OrderID: "o1", CustomerID: "ada", Product: "book", Cents: 900}
	right := func() *books {
		return &books{
			orders: map[string][]pubsub.Order{"o1": {o}}, archive: map[string][]pubsub.Order{"o1": {o}},
			mails:   map[string][]string{"o1": {pubsub.Mail(o)}},
			revenue: map[string][]int64{"ada": {900}}, stock: map[string][]int64{"book": {-1}},
		}
	}
	if r := right().judge(); !r.Clean() || r.String() != "orders=1 mails=1 archived_late=1 missing=0 duplicated=0 out_of_order=0 wrong=0 diverged=0" {
		t.Fatal(r, r.Examples)
	}
	for what, spoil := range map[string]func(*books){
		"a lost mail":       func(b *books) { delete(b.mails, "o1") },
		"a doubled mail":    func(b *books) { b.mails["o1"] = append(b.mails["o1"], pubsub.Mail(o)) },
		"a lost order":      func(b *books) { delete(b.archive, "o1") },
		"an invented order": func(b *books) { b.archive["o2"] = []pubsub.Order{o} },
		"a wrong revenue":   func(b *books) { b.revenue["ada"] = []int64{1} },
		"no stock":          func(b *books) { delete(b.stock, "book") },
	} {
		b := right()
		if spoil(b); b.judge().Clean() {
			t.Errorf("%s: nothing was found", what)
		}
	}
}
