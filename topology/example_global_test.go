package topology_test

import (
	"fmt"
	"testing"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

type payment struct {
	Currency string
	Amount   float64
}

var (
	payments = topology.NewTopic("payments", codec.String, codec.JSON[payment]())
	rates    = topology.NewTopic("rates", codec.String, codec.Float64, topology.Compacted())
	inEuros  = topology.NewTopic("in-euros", codec.String, codec.Float64)
)

// Rates by currency are wanted wherever a payment is, whatever its key.
func ExampleJoinGlobal() {
	b := topology.New("euros")
	topology.JoinGlobal(payments.Stream(b), rates.GlobalTable(b), "in-euros",
		func(p payment) string { return p.Currency },
		func(p payment, rate float64) float64 { return p.Amount * rate }).To(inEuros)

	d := topologytest.New(new(testing.T), b)
	topologytest.Topic(d, rates).Send("GBP", 1.25)
	topologytest.Topic(d, payments).Send("p1", payment{"GBP", 100})
	topologytest.Topic(d, payments).Send("p2", payment{"XXX", 100}) // no row: dropped and counted
	fmt.Println(topologytest.Topic(d, inEuros).Values())
	// Output: [125]
}

// With LeftJoinGlobal a payment with no rate goes on too.
func ExampleLeftJoinGlobal() {
	b := topology.New("euros")
	topology.LeftJoinGlobal(payments.Stream(b), rates.GlobalTable(b), "in-euros",
		func(p payment) string { return p.Currency },
		func(p payment, rate topology.Opt[float64]) float64 { return p.Amount * rate.Or(1) }).To(inEuros)

	d := topologytest.New(new(testing.T), b)
	topologytest.Topic(d, rates).Send("GBP", 1.25)
	topologytest.Topic(d, payments).Send("p1", payment{"GBP", 100})
	topologytest.Topic(d, payments).Send("p2", payment{"EUR", 100})
	fmt.Println(topologytest.Topic(d, inEuros).Values())
	// Output: [125 100]
}

type euroPorts struct {
	Rates topology.Rows[string, float64]
	Total topology.Out[float64]
}

// A processor looks up any key of a global table.
func ExampleReadGlobal() {
	b := topology.New("total")
	p := topology.NewProcessor(payments.Stream(b), "total", func(sum float64, p payment, ports *euroPorts) float64 {
		if rate, ok := ports.Rates.Get(p.Currency); ok {
			sum += p.Amount * rate
		}
		ports.Total.Emit(sum)
		return sum
	})
	topology.ReadGlobal(p, &p.Ports.Rates, rates.GlobalTable(b))
	topology.Output(p, &p.Ports.Total).To(inEuros)

	d := topologytest.New(new(testing.T), b)
	topologytest.Topic(d, rates).Send("GBP", 1.25)
	topologytest.Topic(d, payments).Send("ada", payment{"GBP", 100})
	topologytest.Topic(d, payments).Send("ada", payment{"GBP", 2})
	fmt.Println(topologytest.Topic(d, inEuros).Values())
	// Output: [125 127.5]
}
