package chaos

import (
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The second application under test: it has state of its own, with a changelog. Orders
// are counted by customer, and every count goes out with the order that it stands for.
// So the counts of a customer must be 1, 2, 3 ... and each order must come once.

// Seen is a customer's count with the order that was counted last.
type Seen struct {
	N     int64
	Order string
}

// CountTopology counts orders by customer.
func CountTopology() *topology.Builder {
	type order struct {
		OrderID    string `json:"orderId"`
		CustomerID string `json:"customerId"`
	}
	orders := topology.NewTopic("orders", codec.String, codec.JSON[order]())
	out := topology.NewTopic("order-counts", codec.String, seenCodec)
	b := topology.New("order-count")
	byCustomer := topology.KeyBy(orders.Stream(b), "by-customer", func(o order) string { return o.CustomerID })
	topology.Aggregate(byCustomer, "seen", func(s Seen, o order) Seen { return Seen{s.N + 1, o.OrderID} },
		topology.StateCodec(seenCodec)).To(out)
	return b
}

var seenCodec = codec.Func(
	func(dst []byte, s Seen) ([]byte, error) {
		return append(append(strconv.AppendInt(dst, s.N, 10), ' '), s.Order...), nil
	},
	ParseSeen)

// ParseSeen reads a Seen.
func ParseSeen(b []byte) (Seen, error) {
	n, order, _ := strings.Cut(string(b), " ")
	i, err := strconv.ParseInt(n, 10, 64)
	return Seen{i, order}, err
}
