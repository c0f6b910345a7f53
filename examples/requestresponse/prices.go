package requestresponse

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// Request asks for the price of a product.
type Request struct{ Product string }

// Response is the answer.
type Response struct{ Cents int64 }

// Outcome is a request with its answer, or without one when none came in time.
type Outcome struct {
	Product  string
	Cents    int64
	Answered bool
}

// The topics. Their keys are whatever the asker likes; outcomes are keyed by correlation id.
var (
	Questions = topology.NewTopic("price-questions", codec.String, codec.JSON[Request]())
	Requests  = topology.NewTopic("price-requests", codec.String, codec.JSON[Request]())
	Responses = topology.NewTopic("price-responses", codec.String, codec.JSON[Response]())
	Outcomes  = topology.NewTopic("price-outcomes", codec.String, codec.JSON[Outcome]())
)

// Patience is how long the client waits for an answer, in event time.
const Patience = 10 * time.Second

// Answer is the service's business.
func Answer(r Request) Response { return Response{int64(100 * len(r.Product))} }

// Service answers requests. It knows nothing of clients.
func Service() *topology.Builder {
	b := topology.New("price-service", envelope.Headers())
	topology.Map(Requests.Stream(b), Answer).To(Responses)
	return b
}

// Match pairs a request with its answer.
func Match(r Request, a topology.Opt[Response]) Outcome {
	return Outcome{r.Product, a.Value.Cents, a.OK}
}

// Client turns questions into requests, and pairs its requests with the answers.
func Client() *topology.Builder {
	b := topology.New("price-client", envelope.Headers())
	Questions.Stream(b).To(Requests)

	requests := envelope.ByCorrelation(Requests.Stream(b), "requests-by-correlation")
	responses := envelope.ByCorrelation(Responses.Stream(b), "responses-by-correlation")
	inTime := topology.Between(0, Patience)
	topology.LeftJoinStreams(requests, responses, "outcomes", inTime, Match).To(Outcomes)
	return b
}
