package topology_test

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	Placed    = topology.NewTopic("placed", codec.String, codec.String)
	Paid      = topology.NewTopic("paid", codec.String, codec.String)
	Cancelled = topology.NewTopic("cancelled", codec.String, codec.String)
)

type orderPorts struct {
	Cancelled topology.Out[string]
	Overdue   topology.Timer
}

func onPlaced(_, item string, p *orderPorts) string {
	p.Overdue.In(10 * time.Minute)
	return item
}

func onPaid(item, _ string, p *orderPorts) string {
	p.Overdue.Cancel()
	return item
}

func onOverdue(item string, p *orderPorts) string {
	p.Cancelled.Emit(item + ": not paid in time")
	return item
}

// Each order has ten minutes to be paid. The alarm is state of its key: crashes do not matter.
func ExampleProcessor_OnTimer() {
	b := topology.New("shop")
	orders := topology.NewProcessor(Placed.Stream(b), "orders", onPlaced)
	topology.On(orders, Paid.Stream(b), onPaid)
	orders.OnTimer(&orders.Ports.Overdue, onOverdue)
	topology.Output(orders, &orders.Ports.Cancelled).To(Cancelled)

	topologytest.Run(func(d *topologytest.Driver) {
		placed, cancelled := topologytest.Topic(d, Placed), topologytest.Topic(d, Cancelled)
		placed.Send("o1", "vase")
		placed.Send("o2", "lamp")
		topologytest.Topic(d, Paid).Send("o1", "20 euro")
		d.Crash()
		d.Elapse(10 * time.Minute) // as if a record had come ten minutes later
		for _, r := range cancelled.Records() {
			fmt.Println(r.Key, r.Value)
		}
	}, b)
	// Output: o2 lamp: not paid in time
}

type reminders struct {
	Remind topology.Out[string]
	Later  topology.WallTimer
}

// A reminder by the clock on the wall, whether records come or not.
func ExampleWallTimer() {
	b := topology.New("reminders")
	p := topology.NewProcessor(Placed.Stream(b), "reminders", func(_, item string, p *reminders) string {
		p.Later.In(time.Hour)
		return item
	})
	p.OnTimer(&p.Ports.Later, func(item string, p *reminders) string {
		p.Remind.Emit("how do you like the " + item + "?")
		return item
	})
	topology.Output(p, &p.Ports.Remind).To(Cancelled)

	topologytest.Run(func(d *topologytest.Driver) {
		topologytest.Topic(d, Placed).Send("o1", "vase")
		d.Advance(59 * time.Minute)
		fmt.Println(topologytest.Topic(d, Cancelled).Values())
		d.Advance(time.Minute)
		fmt.Println(topologytest.Topic(d, Cancelled).Values())
	}, b)
	// Output:
	// []
	// [how do you like the vase?]
}

// A processor may set at most so many timers: 2 here, in each task.
func ExampleMaxTimers() {
	b := topology.New("few")
	orders := topology.NewProcessor(Placed.Stream(b), "orders", onPlaced, topology.MaxTimers(2))
	orders.OnTimer(&orders.Ports.Overdue, onOverdue)
	topology.Output(orders, &orders.Ports.Cancelled).To(Cancelled)

	topologytest.Run(func(d *topologytest.Driver) {
		for _, order := range []string{"o1", "o2", "o3"} {
			topologytest.Topic(d, Placed).Send(order, "vase")
		}
		fmt.Println(d.Stopped("few"))
	}, b)
	// Output: task 0_0, topic placed, partition 0, offset 2, node orders-timers: core: full: 2 timers are set, more must not be: cancel those that are not needed any more, or allow more with MaxTimers
}

// The window closes though nothing more comes: a minute after its end.
func ExampleAdvanceIdle() {
	counts := topology.NewTopic("placed-per-minute", codec.Windowed(codec.String, time.Minute), codec.Int64)
	b := topology.New("idle", topology.AdvanceIdle(time.Minute))
	minutes := Placed.Stream(b).Window(topology.Tumbling(time.Minute))
	topology.Count(minutes, "per-minute", topology.EmitOnClose()).To(counts)

	topologytest.Run(func(d *topologytest.Driver) {
		topologytest.Topic(d, Placed).Send("shop", "vase")
		d.Advance(90 * time.Second)
		fmt.Println(topologytest.Topic(d, counts).Values())
		d.Advance(30 * time.Second)
		fmt.Println(topologytest.Topic(d, counts).Values())
	}, b)
	// Output:
	// []
	// [1]
}

type month struct {
	Ends  topology.Time // 0: none is under way
	Cents int
}

type statementPorts struct {
	Statements topology.Out[string]
	Now        topology.Moment[string]
	End        topology.Timer
}

func onTransfer(m month, t transfer, p *statementPorts) month {
	if m = m.until(p.Now.Time(), p); m.Ends == 0 {
		year, now, _ := p.Now.Time().UTC().Date()
		m.Ends = topology.TimeOf(time.Date(year, now+1, 1, 0, 0, 0, 0, time.UTC))
		p.End.At(m.Ends)
	}
	m.Cents += t.Cents
	return m
}

// onEnd is for accounts where nothing happens.
func onEnd(m month, p *statementPorts) month { return m.until(p.Now.Time(), p) }

// until ends the month, if it is over then.
func (m month) until(at topology.Time, p *statementPorts) month {
	if m.Ends == 0 || at.Before(m.Ends) {
		return m
	}
	p.Statements.EmitAt(m.Ends, fmt.Sprintf("%s: %d cents up to %s", p.Now.Key(), m.Cents, m.Ends.UTC().Format("2 January")))
	return month{}
}

// A statement of each month. The alarm goes off behind the record that moved the time on, which
// is ada's own of February or anybody's: so the step of a transfer ends the month itself, if it
// is over, and the alarm is for accounts where nothing happens.
func ExampleMoment() {
	statements := topology.NewTopic("statements", codec.String, codec.String)
	b := topology.New("accounts")
	p := topology.NewProcessor(paymentsIn.Stream(b), "months", onTransfer)
	p.OnTimer(&p.Ports.End, onEnd)
	topology.Output(p, &p.Ports.Statements).To(statements)

	topologytest.Run(func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, paymentsIn), topologytest.Topic(d, statements)
		in.Send("ada", transfer{Cents: 10})
		in.Send("bob", transfer{Cents: 5})
		d.AdvanceTo(topology.TimeOf(time.Date(2025, 2, 3, 0, 0, 0, 0, time.UTC)))
		in.Send("ada", transfer{Cents: 700})
		for _, r := range out.Records() {
			fmt.Println(r.Value)
		}
	}, b)
	// Output:
	// ada: 10 cents up to 1 February
	// bob: 5 cents up to 1 February
}

type transfer struct {
	ID    string
	Seq   int64
	Cents int
}

func (p transfer) id() string    { return p.ID }
func (p transfer) number() int64 { return p.Seq }

var (
	paymentsIn  = topology.NewTopic("payments-in", codec.String, codec.JSON[transfer]())
	paymentsOut = topology.NewTopic("payments-out", codec.String, codec.JSON[transfer]())
	paymentsToo = topology.NewTopic("payments-too-many", codec.String, codec.JSON[transfer]())
)

// A payment that is told twice within a day counts once.
func ExampleDeduplicate() {
	b := topology.New("once")
	topology.Deduplicate(paymentsIn.Stream(b), "once", transfer.id, 24*time.Hour).To(paymentsOut)

	topologytest.Run(func(d *topologytest.Driver) {
		in := topologytest.Topic(d, paymentsIn)
		in.Send("ada", transfer{ID: "p1", Cents: 500})
		in.Send("ada", transfer{ID: "p1", Cents: 500})
		in.Send("ada", transfer{ID: "p2", Cents: 700})
		for _, p := range topologytest.Topic(d, paymentsOut).Values() {
			fmt.Println(p.ID)
		}
		fmt.Println(d.Dropped("once", topology.Duplicate), "twice")
	}, b)
	// Output:
	// p1
	// p2
	// 1 twice
}

// Payments go on by their numbers; one that is missing is waited for a minute.
func ExampleReorder() {
	b := topology.New("in-order")
	topology.Reorder(paymentsIn.Stream(b), "in-order", transfer.number, time.Minute).To(paymentsOut)

	topologytest.Run(func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, paymentsIn), topologytest.Topic(d, paymentsOut)
		for _, n := range []int64{2, 1, 4} {
			in.Send("ada", transfer{Seq: n})
		}
		fmt.Println(out.Values())
		d.Elapse(time.Minute)
		fmt.Println(out.Values(), d.Dropped("in-order", topology.Gap), "missing")
	}, b)
	// Output:
	// [{ 1 0} { 2 0}]
	// [{ 4 0}] 1 missing
}

// At most two payments of a customer in an hour go on.
func ExampleThrottle() {
	b := topology.New("few")
	few, more := topology.Throttle(paymentsIn.Stream(b), "few", 2, time.Hour)
	few.To(paymentsOut)
	more.To(paymentsToo)

	topologytest.Run(func(d *topologytest.Driver) {
		in := topologytest.Topic(d, paymentsIn)
		for _, id := range []string{"p1", "p2", "p3"} {
			in.Send("ada", transfer{ID: id})
		}
		d.Advance(time.Hour)
		in.Send("ada", transfer{ID: "p4"})
		fmt.Println(len(topologytest.Topic(d, paymentsOut).Values()), "and", topologytest.Topic(d, paymentsToo).Values())
	}, b)
	// Output: 3 and [{p3 0 0}]
}
