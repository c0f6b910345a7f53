package topology_test

import (
	"fmt"
	"strings"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

type accountEvent interface{ accountEvent() }

type accountOpened struct{ Owner string }

type moneyDeposited struct{ Cents int64 }

func (accountOpened) accountEvent()  {}
func (moneyDeposited) accountEvent() {}

var (
	accountEvents = topology.NewTopic("account-events", codec.String, codec.Union[accountEvent](accountOpened{}, moneyDeposited{}))
	deposits      = topology.NewTopic("deposits", codec.String, codec.JSON[moneyDeposited]())
)

func ExampleOfType() {
	b := topology.New("deposits")
	topology.OfType[moneyDeposited](accountEvents.Stream(b)).To(deposits)

	topologytest.Run(func(d *topologytest.Driver) {
		events := topologytest.Topic(d, accountEvents)
		events.Send("a1", accountOpened{"Ada"})
		events.Send("a1", moneyDeposited{500})
		fmt.Println(topologytest.Topic(d, deposits).Values())
	}, b)
	// Output: [{500}]
}

func ExampleStamp() {
	b := topology.New("deposits", envelope.Headers()) // a Stamp
	topology.OfType[moneyDeposited](accountEvents.Stream(b)).To(deposits)

	topologytest.Run(func(d *topologytest.Driver) {
		topologytest.Topic(d, accountEvents).Send("a1", moneyDeposited{500})
		m := envelope.Of(topologytest.Topic(d, deposits).Records()[0].Headers)
		fmt.Println(m.ID, m.Type, "caused by", m.CausationID)
	}, b)
	// Output: deposits/deposits/account-events/0@0/0 moneyDeposited caused by account-events/0@0
}

func ExampleStream_WithHeaders() {
	b := topology.New("traced")
	accountEvents.Stream(b).WithHeaders(func(e accountEvent, h topology.Headers) topology.Headers {
		return h.With("kind", codec.TypeName(e))
	}).To(accountEvents2)

	topologytest.Run(func(d *topologytest.Driver) {
		topologytest.Topic(d, accountEvents).Send("a1", accountOpened{"Ada"})
		kind, _ := topologytest.Topic(d, accountEvents2).Records()[0].Headers.Get("kind")
		fmt.Println(kind)
	}, b)
	// Output: accountOpened
}

var accountEvents2 = topology.NewTopic("account-events-2", codec.String, codec.Union[accountEvent](accountOpened{}, moneyDeposited{}))

// The topic's records are of two versions of the type; the topology knows the newest only.
func ExampleTopic_versions() {
	type personV1 struct{ Name string }
	type person struct{ First, Last string }
	v2 := codec.Upcast(codec.JSON[personV1](), codec.JSON[person](), func(p personV1) person {
		first, last, _ := strings.Cut(p.Name, " ")
		return person{first, last}
	})
	people := topology.NewTopic("people", codec.String, v2)
	names := topology.NewTopic("names", codec.String, codec.String)

	b := topology.New("names")
	topology.Map(people.Stream(b), func(p person) string { return p.Last + ", " + p.First }).To(names)

	topologytest.Run(func(d *topologytest.Driver) {
		topologytest.Topic(d, people).SendRaw([]byte("1"), []byte(`{"Name":"Ada Lovelace"}`))
		topologytest.Topic(d, people).SendRaw([]byte("2"), []byte(`{"version":2,"First":"Grace","Last":"Hopper"}`))
		fmt.Println(topologytest.Topic(d, names).Values())
	}, b)
	// Output: [Lovelace, Ada Hopper, Grace]
}
