package quoting

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// Changed is the thin event: a customer is not what he was; go and ask.
type Changed struct{ CustomerID string }

// Ask is the call of the customer service, as data. A port outside of the topology makes it,
// and writes the answer.
type Ask struct{ CustomerID string }

// Risk is the part of a customer that quoting needs: what the answer has, and what the event
// with state carries. Version counts the customer's changes.
type Risk struct {
	Age     int
	City    string
	Version int
}

// Request asks for a quote.
type Request struct{ RequestID, CustomerID string }

// Customer is for whom the quote is.
func (r Request) Customer() string { return r.CustomerID }

// Quote is the offer; Version is the customer's that it was made for.
type Quote struct {
	RequestID string
	Cents     int64
	Version   int
}

// Price makes the offer.
func Price(r Request, risk Risk) Quote {
	cents := int64(10_000 + 100*risk.Age)
	if risk.City == "Rome" {
		cents += 5_000
	}
	return Quote{r.RequestID, cents, risk.Version}
}

// Call turns a notification into the question that follows from it.
func Call(c Changed) Ask { return Ask(c) }

// Newer keeps the younger one of two answers: they may come in another order.
func Newer(a, b Risk) Risk {
	if b.Version > a.Version {
		return b
	}
	return a
}

// The topics. All are keyed by customer, requests by request.
var (
	Changes  = topology.NewTopic("customer-changed", codec.String, codec.JSON[Changed]())
	Asks     = topology.NewTopic("ask-customer", codec.String, codec.JSON[Ask]())
	Answers  = topology.NewTopic("customer-answers", codec.String, codec.JSON[Risk]())
	Risks    = topology.NewTopic("customer-risks", codec.String, codec.JSON[Risk](), topology.Compacted())
	Requests = topology.NewTopic("quote-requests", codec.String, codec.JSON[Request]())

	QuotesByNotification  = topology.NewTopic("quotes-by-notification", codec.String, codec.JSON[Quote]())
	QuotesByStateTransfer = topology.NewTopic("quotes-by-state-transfer", codec.String, codec.JSON[Quote]())
)

// patience is how long a request waits for a customer that nobody knows yet.
const patience = time.Hour

// ByNotification asks for each change, and quotes with the last answer.
func ByNotification() *topology.Builder {
	b := topology.New("quoting-by-notification", envelope.Headers())
	topology.Map(Changes.Stream(b), Call).To(Asks)
	risks := topology.Reduce(Answers.Stream(b), "risks", Newer)
	quotes(b, risks).To(QuotesByNotification)
	return b
}

// ByStateTransfer asks nobody.
func ByStateTransfer() *topology.Builder {
	b := topology.New("quoting-by-state-transfer", envelope.Headers())
	quotes(b, Risks.Table(b)).To(QuotesByStateTransfer)
	return b
}

func quotes(b *topology.Builder, risks topology.Table[string, Risk]) topology.Stream[string, Quote] {
	requests := topology.KeyBy(Requests.Stream(b), "by-customer", Request.Customer)
	return topology.Join(requests, risks, "with-risk", Price, topology.Wait(patience))
}
