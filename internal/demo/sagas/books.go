package sagas

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/topology"
)

// newFeeder places orders.
func newFeeder[V any](f *demo.Feed, t topology.Topic[string, V], order func(string, *rand.Rand) V) demo.Feeder {
	return demo.Sending(f, 6, func(rng *rand.Rand, id string) error { return demo.Send(f, t, id, order(id, rng)) })
}

// story is what the topics say of one order.
type story struct {
	placed, ends, invoices int
	reserved, released     bool
	paid, refunded         bool
	shipped                bool
	told                   bool // the customer, that it is on its way
	// The mails to the customer, by what they say.
	paidMails, shippedMails, cancelledMails int
}

// mail takes a mail down.
func (s *story) mail(text string) {
	switch {
	case strings.HasSuffix(text, " is paid."):
		s.paidMails++
	case strings.HasSuffix(text, " is on its way."):
		s.shippedMails++
	default:
		s.cancelledMails++
	}
}

// mails says what is wrong with the mails, by what has happened: one of the payment, if there
// was one, and one of the end.
func (s *story) mails(shipped bool) string {
	want := map[string][2]int{"payment": {s.paidMails, 0}, "shipment": {s.shippedMails, 0}, "cancellation": {s.cancelledMails, 1}}
	if s.paid {
		want["payment"] = [2]int{s.paidMails, 1}
	}
	if shipped {
		want["shipment"], want["cancellation"] = [2]int{s.shippedMails, 1}, [2]int{s.cancelledMails, 0}
	}
	for what, n := range want {
		if n[0] != n[1] {
			return fmt.Sprintf("%d mails of the %s, not %d", n[0], what, n[1])
		}
	}
	return ""
}

func (s *story) end(shipped bool) { s.ends, s.told = s.ends+1, shipped }

// books are the stories, by order.
type books map[string]*story

func (b books) of(id string) *story {
	s := b[id]
	if s == nil {
		s = new(story)
		b[id] = s
	}
	return s
}

// judge wants each order to end once; with everything done and nothing undone, or with all
// undone that was done; and as the customer was told. An invoice and a mail are written for each
// payment, and a mail for each end.
func (b books) judge() *demo.Report {
	r := new(demo.Report)
	orders, shipped, cancelled := r.Seen("orders"), r.Seen("shipped"), r.Seen("cancelled")
	missing, duplicated, half, wrong := r.Fault("missing"), r.Fault("duplicated"), r.Fault("half_done"), r.Fault("wrong")
	unmailed := r.Fault("mails_wrong")
	for id, s := range b {
		orders.N += int64(s.placed)
		reserved, paid := s.reserved && !s.released, s.paid && !s.refunded
		all, none := reserved && paid && s.shipped, !reserved && !paid && !s.shipped
		switch {
		case s.placed == 0:
			wrong.Found("%s was never placed: %+v", id, *s)
		case s.ends == 0:
			missing.Found("%s has not ended: %+v", id, *s)
		case s.ends > 1 || s.invoices > 1:
			duplicated.Found("%s: %+v", id, *s)
		case !all && !none:
			half.Found("%s: %+v", id, *s)
		case all != s.told || s.paid != (s.invoices == 1):
			wrong.Found("%s: %+v", id, *s)
		case s.mails(all) != "":
			unmailed.Found("%s: %s", id, s.mails(all))
		case all:
			shipped.N++
		default:
			cancelled.N++
		}
	}
	return r
}
