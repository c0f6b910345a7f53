package eventsourcing

import (
	"fmt"
	"testing"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func TestDecide(t *testing.T) {
	rich := Account{Owner: "Ada", Cents: 100, Version: 2, Open: true}
	empty := Account{Owner: "Ada", Version: 3, Open: true}
	for _, c := range []struct {
		name  string
		given Account
		when  Command
		then  Event
		why   string
	}{
		{"open", Account{}, Open{"Ada"}, Opened{"Ada"}, ""},
		{"open twice", rich, Open{"Bob"}, nil, "is open already"},
		{"deposit", rich, Deposit{Cents: 5}, Deposited{5}, ""},
		{"deposit with nobody", Account{}, Deposit{Cents: 5}, nil, "is not open"},
		{"withdraw all", rich, Withdraw{Cents: 100, Expected: 2}, Withdrawn{100}, ""},
		{"withdraw too much", rich, Withdraw{Cents: 101}, nil, "has only 100 cents"},
		{"has changed meanwhile", rich, Withdraw{Cents: 1, Expected: 1}, nil, "version is 2, not 1"},
		{"close", empty, Close{}, Closed{}, ""},
		{"close with money", rich, Close{}, nil, "still has 100 cents"},
		{"close twice", Account{Version: 4}, Close{}, nil, "is not open"},
	} {
		got, err := Decide(c.given, c.when)
		if got != c.then || fmt.Sprint(err) != c.why && (err != nil || c.why != "") {
			t.Errorf("%s: %v, %v; want %v, %q", c.name, got, err, c.then, c.why)
		}
	}
}

var life = []Command{Open{"Ada"}, Deposit{Cents: 100}, Withdraw{Cents: 30, Expected: 2}, Withdraw{Cents: 99}, Deposit{Cents: 1, Expected: 2}}

func TestAccounts(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		commands := topologytest.Topic(d, Commands)
		for _, c := range life {
			commands.Send("a1", c)
		}
		topologytest.Topic(d, Events).Want(Opened{"Ada"}, Deposited{100}, Withdrawn{30})
		topologytest.Topic(d, Rejections).Want(Rejection{"Withdraw", "has only 70 cents"}, Rejection{"Deposit", "version is 3, not 2"})
		topologytest.Table[string, Account](d, "balances").Want(map[string]Account{"a1": {"Ada", 70, 3, true}})
	}, Accounts(), Readers())
}

// With state, changelogs and offsets gone, everything is made again, and is the same.
func TestRebuild(t *testing.T) {
	d := topologytest.New(t, Accounts(), Readers())
	commands, balances := topologytest.Topic(d, Commands), topologytest.Table[string, Account](d, "balances")
	for i := range 20 {
		for _, c := range life {
			commands.Send(fmt.Sprint("a", i%3), c)
		}
	}
	before, events := balances.Rows(), topologytest.Topic(d, Events)
	happened := events.Values()
	d.Wipe()
	balances.Want(before)
	events.Want(happened...)
}

func TestPast(t *testing.T) {
	d := topologytest.New(t, Accounts(), Readers())
	for _, c := range life {
		topologytest.Topic(d, Commands).Send("a1", c)
	}
	h, _ := topologytest.Table[string, History](d, "histories").Get("a1")
	now, _ := topologytest.Table[string, Account](d, "accounts").Get("a1")
	if h.Now() != now {
		t.Errorf("the history makes %v, the snapshot is %v", h.Now(), now)
	}
	if got := h.At(2); got != (Account{"Ada", 100, 2, true}) {
		t.Errorf("after two events: %v", got)
	}
	for what, c := range map[string]struct {
		other History
		want  Difference
	}{
		"a branch":     {h.Branch(2, Withdrawn{100}, Closed{}), Difference{Cents: 70, Version: -1, Open: [2]bool{true, false}}},
		"one left out": {h.Without(2), Difference{Cents: -30, Version: 1}},
		"one inserted": {h.Insert(1, Deposited{5}), Difference{Cents: -5, Version: -1}},
		"one changed":  {h.Change(0, Opened{"Bob"}), Difference{Owner: [2]string{"Ada", "Bob"}}},
	} {
		if got := now.Less(c.other.Now()); got != c.want {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
	}
	if h.Now() != now {
		t.Error("looking at other histories changed this one")
	}
}

// An event store that forgets is none.
func TestForever(t *testing.T) {
	b := topology.New("forgetful")
	store := topology.NewTopic("account-events", codec.String, events, topology.Forever(), topology.Compacted())
	topology.Count(store.Stream(b), "n")
	if _, err := b.Build(); err == nil {
		t.Error("a compacted event store was accepted")
	}
}
