package sagaorchestration

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// Step is how far one service is with an order.
type Step int

// The steps of a service.
const (
	Idle Step = iota
	Asked
	Done
	Failed
	Undone
)

// Stage is how far the order is.
type Stage int

// The stages. Shipped and Cancelled are the ends.
const (
	Unknown Stage = iota
	Preparing
	Sending // the pivot: from here on there is no way back but the shipper's own
	Undoing
	Shipped
	Cancelled
)

// Saga is what the orchestrator knows of one order.
type Saga struct {
	Order                   Order
	Stage                   Stage
	Stock, Payment, Sending Step
	Attempts                int
	Again                   bool // stock and money were asked for more than once
	Why                     string
}

const (
	// patience is how long a service may take to answer; then it is asked again.
	patience = time.Minute
	// attempts is how often it is asked before the order is cancelled.
	attempts = 3
)

// Ports is where the orchestrator's steps send to.
type Ports struct {
	Stock    topology.Out[StockCommand]
	Payments topology.Out[PaymentCommand]
	Shipping topology.Out[ShipCommand]
	Outcome  topology.Out[Outcome]
	Due      topology.WallTimer
}

// OnOrder asks for stock and money, at the same time.
func OnOrder(s Saga, o Order, p *Ports) Saga {
	if s.Stage != Unknown { // told twice
		return s
	}
	return ask(Saga{Order: o, Stage: Preparing}, p)
}

// OnStock takes the inventory's answer.
func OnStock(s Saga, e StockEvent, p *Ports) Saga {
	switch e := e.(type) {
	case Reserved:
		s.Stock = answered(s.Stock, Done)
	case ReserveFailed:
		s.Stock, s.Why = answered(s.Stock, Failed), e.Why
	case Released:
		s.Stock = Undone
	}
	return proceed(s, p)
}

// OnPayment takes the payment service's answer.
func OnPayment(s Saga, e PaymentEvent, p *Ports) Saga {
	switch e := e.(type) {
	case Paid:
		s.Payment = answered(s.Payment, Done)
	case PaymentFailed:
		s.Payment, s.Why = answered(s.Payment, Failed), e.Why
	case Refunded:
		s.Payment = Undone
	}
	return proceed(s, p)
}

// OnShipping takes the shipper's answer.
func OnShipping(s Saga, e ShippingEvent, p *Ports) Saga {
	switch e := e.(type) {
	case Sent:
		s.Sending = answered(s.Sending, Done)
	case SendFailed:
		s.Sending, s.Why = answered(s.Sending, Failed), e.Why
	}
	return proceed(s, p)
}

// answered takes the first answer only: a service that was asked twice answers twice.
func answered(now, answer Step) Step {
	if now == Asked {
		return answer
	}
	return now
}

// OnDue asks again who has not answered, or gives up while that is possible.
func OnDue(s Saga, p *Ports) Saga {
	switch s.Attempts++; {
	case s.Stage == Preparing && s.Attempts >= attempts:
		s.Why = "no answer in time"
		return undo(s, p)
	case s.Stage == Preparing:
		s.Again = true
	}
	return ask(s, p)
}

// ask tells the services what they are to do now, and waits for them.
func ask(s Saga, p *Ports) Saga {
	p.Due.In(patience)
	id, o := s.Order.OrderID, s.Order
	switch {
	case s.Stage == Preparing:
		if s.Stock <= Asked {
			s.Stock = Asked
			p.Stock.Emit(StockCommand{OrderID: id, Item: o.Item})
		}
		if s.Payment <= Asked {
			s.Payment = Asked
			p.Payments.Emit(PaymentCommand{OrderID: id, Cents: o.Cents})
		}
	case s.Stage == Sending:
		s.Sending = Asked
		p.Shipping.Emit(ShipCommand{id, o.Item})
	// In reverse: the money first. A service that has not answered yet is told as well; it
	// takes its commands in order, so whatever it still does, it undoes.
	case s.Stage == Undoing && s.owes(s.Payment):
		p.Payments.Emit(PaymentCommand{OrderID: id, Cents: o.Cents, Refund: true})
	case s.Stage == Undoing:
		p.Stock.Emit(StockCommand{OrderID: id, Item: o.Item, Release: true})
	}
	return s
}

// owes reports whether a service has something to undo, or may have: it has not answered, or it has said
// no and was asked again, and the other answer, which nobody waits for, may be yes.
func (s Saga) owes(step Step) bool {
	return step == Asked || step == Done || step == Failed && s.Again
}

// proceed goes on to the next stage, if it is time.
func proceed(s Saga, p *Ports) Saga {
	was := s
	switch s.Stage {
	case Preparing:
		switch {
		case s.Stock == Failed || s.Payment == Failed:
			return undo(s, p)
		case s.Stock == Done && s.Payment == Done:
			s.Stage, s.Attempts = Sending, 0
			return ask(s, p)
		}
	case Sending:
		switch s.Sending {
		case Failed:
			return undo(s, p)
		case Done:
			return end(s, Shipped, p)
		}
	case Undoing:
		switch {
		case !s.owes(s.Payment) && !s.owes(s.Stock):
			return end(s, Cancelled, p)
		case s.owes(was.Stock) && s.Payment == Undone:
			return ask(s, p)
		}
	}
	return s
}

func undo(s Saga, p *Ports) Saga {
	if s.Stage, s.Attempts = Undoing, 0; !s.owes(s.Payment) && !s.owes(s.Stock) {
		return end(s, Cancelled, p)
	}
	return ask(s, p)
}

func end(s Saga, stage Stage, p *Ports) Saga {
	s.Stage = stage
	p.Due.Cancel()
	p.Outcome.Emit(Outcome{OrderID: s.Order.OrderID, Shipped: stage == Shipped, Why: s.Why})
	return s
}

// Orchestrator is the saga's topology. Orders are forgotten after 30 days.
func Orchestrator() *topology.Builder {
	b := topology.New("order-saga", envelope.Headers())
	saga := topology.NewProcessor(Orders.Stream(b), "order-saga", OnOrder, topology.TTL(30*24*time.Hour))
	topology.On(saga, StockEvents.Stream(b), OnStock)
	topology.On(saga, PaymentEvents.Stream(b), OnPayment)
	topology.On(saga, ShippingEvents.Stream(b), OnShipping)
	saga.OnTimer(&saga.Ports.Due, OnDue)
	topology.Output(saga, &saga.Ports.Stock).To(StockCommands)
	topology.Output(saga, &saga.Ports.Payments).To(PaymentCommands)
	topology.Output(saga, &saga.Ports.Shipping).To(ShipCommands)
	topology.Output(saga, &saga.Ports.Outcome).To(Outcomes)
	return b
}
