package topology_test

import (
	"fmt"
	"strconv"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// From the state of the key and a value to the new state and what is emitted.
func ExampleProcess() {
	onlyNew := func(last, w string, out *topology.Out[string]) string {
		if w != last {
			out.Emit(w)
		}
		return w
	}
	b := topology.New("example")
	topology.Process(Words.Stream(b), "only-new", onlyNew).To(Out)

	show(play(b, "words@1 k a", "words@2 k a", "words@3 k b"), Out)
	// Output:
	// k a @1
	// k b @3
}

// What a step emits to and reads from are the fields of a struct: so it can be tested as a
// plain function.
type shipping struct {
	Shipments topology.Out[string]
	Delays    topology.Out[string]
	Address   topology.Row[string]
}

func ship(orders int, order string, p *shipping) int {
	if address, ok := p.Address.Get(); ok {
		p.Shipments.Emit(order + " to " + address)
	} else {
		p.Delays.Emit(order)
	}
	return orders + 1
}

func cancel(orders int, _ string, _ *shipping) int { return orders - 1 }

func ExampleNewProcessor() {
	b := topology.New("example")
	p := topology.NewProcessor(Words.Stream(b), "shipping", ship)
	topology.On(p, Others.Stream(b), cancel)
	topology.Read(p, &p.Ports.Address, Rows.Table(b))
	topology.Output(p, &p.Ports.Shipments).To(Out)
	topology.Output(p, &p.Ports.Delays).To(Out2)

	d := play(b, "words@1 ann book", "rows@2 ann Rome", "words@3 ann pen", "others@4 ann book")
	show(d, Out)
	show(d, Out2)
	fmt.Println(topologytest.Table[string, int](d, "shipping").Rows())
	// Output:
	// ann pen to Rome @3
	// ann book @1
	// map[ann:1]
}

func ExampleProcessor_State() {
	b := topology.New("example")
	p := topology.NewProcessor(Words.Stream(b), "orders", func(n int64, _ string, _ *struct{}) int64 { return n + 1 })
	p.State().Filter(func(n int64) bool { return n > 1 }).To(Counts)

	show(play(b, "words@1 ann book", "words@2 ann pen"), Counts)
	// Output:
	// ann 2 @2
}

func ExampleRejection() {
	type ports struct{ Refused topology.Rejection }
	pay := func(balance int64, amount string, p *ports) int64 {
		n, err := strconv.ParseInt(amount, 10, 64)
		if err != nil {
			p.Refused.Reject(err)
			return 0 // it does not count
		}
		return balance + n
	}
	b := topology.New("example")
	p := topology.NewProcessor(Words.Stream(b), "balances", pay, topology.OnError(topology.Skip))
	p.State().To(Counts)

	d := play(b, "words@1 ann 30", "words@2 ann thirty", "words@3 ann 12")
	show(d, Counts)
	fmt.Println(d.Dropped("balances", topology.Rejected), "rejected")
	// Output:
	// ann 30 @1
	// ann 42 @3
	// 1 rejected
}
