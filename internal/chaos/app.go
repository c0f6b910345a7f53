package chaos

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The applications under test beside the email service have state of their own, with
// changelogs. Orders are counted and summed up by customer, and every count goes out with
// the order that it stands for. So the counts of a customer must be 1, 2, 3 ..., the sums
// must grow by each order's cents, and each order must come once. Customers are counted by
// city: of a customer who moves or is deleted, one count too many or too few would stay.

// Seen is what a customer has ordered, with the order that was counted last.
type Seen struct {
	N, Cents int64
	Order    string
}

var (
	seenCodec = codec.Func(func(dst []byte, s Seen) ([]byte, error) {
		return fmt.Appendf(dst, "%d %d %s", s.N, s.Cents, s.Order), nil
	}, ParseSeen)
	orderCounts = topology.NewTopic("order-counts", codec.String, seenCodec)
)

// CountTopology counts orders by customer.
func CountTopology() *topology.Builder {
	b := topology.New("order-count")
	count(topology.KeyBy(emailservice.Orders.Stream(b), "by-customer", emailservice.Order.Customer))
	return b
}

// ShopTopology sends a mail for each order, which says what its customer's row was, and counts it;
// and it counts the customers of each city that has some.
func ShopTopology() *topology.Builder {
	b := topology.New("shop")
	customers := emailservice.Customers.Table(b)
	byCustomer := topology.KeyBy(emailservice.Orders.Stream(b), "by-customer", emailservice.Order.Customer)
	topology.LeftJoin(byCustomer, customers, "with-customer", compose).To(emailservice.Emails)
	count(byCustomer)
	topology.CountTable(customers, "by-city", func(c emailservice.Customer) string { return c.City }, topology.DeleteWhen(func(n int64) bool { return n == 0 }))
	return b
}

// compose writes a mail that has the customer's name as its template, and one to nobody where there is
// no customer.
func compose(o emailservice.Order, c topology.Opt[emailservice.Customer]) emailservice.Email {
	mail := emailservice.Compose(o, c.Value)
	mail.Template = c.Value.Name
	return mail
}

func count(byCustomer topology.Stream[string, emailservice.Order]) {
	topology.Aggregate(byCustomer, "seen", Seen.and, topology.StateCodec(seenCodec)).To(orderCounts)
}

func (s Seen) and(o emailservice.Order) Seen { return Seen{s.N + 1, s.Cents + o.Cents, o.OrderID} }

// ParseSeen reads a Seen as it stands in the topics.
func ParseSeen(b []byte) (s Seen, err error) {
	f := strings.Fields(string(b))
	if len(f) != 3 {
		return s, fmt.Errorf("chaos: %q is no count, sum and order", b)
	}
	if s.N, err = strconv.ParseInt(f[0], 10, 64); err != nil {
		return s, err
	}
	s.Cents, err = strconv.ParseInt(f[1], 10, 64)
	s.Order = f[2]
	return s, err
}
