package eventsourcing

import (
	"fmt"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// Command is what somebody wants to happen to an account. Expected is the version of the
// account that he has seen; 0 takes any.
type Command interface{ expected() int }

// The commands.
type (
	Open    struct{ Owner string }
	Deposit struct {
		Cents    int64
		Expected int `json:",omitempty"`
	}
	Withdraw struct {
		Cents    int64
		Expected int `json:",omitempty"`
	}
	Close struct {
		Expected int `json:",omitempty"`
	}
)

func (Open) expected() int       { return 0 }
func (c Deposit) expected() int  { return c.Expected }
func (c Withdraw) expected() int { return c.Expected }
func (c Close) expected() int    { return c.Expected }

// Event is what has happened.
type Event interface{ event() }

// The events.
type (
	Opened    struct{ Owner string }
	Deposited struct{ Cents int64 }
	Withdrawn struct{ Cents int64 }
	Closed    struct{}
)

func (Opened) event()    {}
func (Deposited) event() {}
func (Withdrawn) event() {}
func (Closed) event()    {}

// Rejection says why a command changed nothing. It is a value like any other, not a failure.
type Rejection struct{ Command, Why string }

// Account is the state after so many events: also the snapshot, which the processor's table
// keeps.
type Account struct {
	Owner   string
	Cents   int64
	Version int  // how many events it has seen
	Open    bool // it takes money
}

// Decide says which event a command leads to, or why to none.
func Decide(a Account, c Command) (Event, error) {
	if want := c.expected(); want != 0 && want != a.Version {
		return nil, fmt.Errorf("version is %d, not %d", a.Version, want)
	}
	if _, opens := c.(Open); opens == a.Open {
		if opens {
			return nil, fmt.Errorf("is open already")
		}
		return nil, fmt.Errorf("is not open")
	}
	switch c := c.(type) {
	case Open:
		return Opened(c), nil
	case Deposit:
		return Deposited{c.Cents}, nil
	case Withdraw:
		if c.Cents > a.Cents {
			return nil, fmt.Errorf("has only %d cents", a.Cents)
		}
		return Withdrawn{c.Cents}, nil
	case Close:
		if a.Cents != 0 {
			return nil, fmt.Errorf("still has %d cents", a.Cents)
		}
		return Closed{}, nil
	}
	return nil, fmt.Errorf("unknown command %T", c)
}

// Evolve is the state after an event.
func Evolve(a Account, e Event) Account {
	a.Version++
	switch e := e.(type) {
	case Opened:
		a.Owner, a.Open = e.Owner, true
	case Deposited:
		a.Cents += e.Cents
	case Withdrawn:
		a.Cents -= e.Cents
	case Closed:
		a.Open = false
	}
	return a
}

// Ports of the write side.
type Ports struct {
	Events     topology.Out[Event]
	Rejections topology.Out[Rejection]
}

// Handle decides a command, and evolves the state by what was decided.
func Handle(a Account, c Command, p *Ports) Account {
	e, err := Decide(a, c)
	if err != nil {
		p.Rejections.Emit(Rejection{codec.TypeName(c), err.Error()})
		return a
	}
	p.Events.Emit(e)
	return Evolve(a, e)
}

// The topics, keyed by account.
var (
	commands = codec.Union[Command](Open{}, Deposit{}, Withdraw{}, Close{})
	events   = codec.Union[Event](Opened{}, Deposited{}, Withdrawn{}, Closed{})

	Commands   = topology.NewTopic("account-commands", codec.String, commands)
	Rejections = topology.NewTopic("account-rejections", codec.String, codec.JSON[Rejection]())
	// Events is the event store: Forever, so a topic that is compacted or expires is refused.
	Events   = topology.NewTopic("account-events", codec.String, events, topology.Forever())
	Balances = topology.NewTopic("account-balances", codec.String, codec.JSON[Account](), topology.Compacted())
)

// Accounts is the write side.
func Accounts() *topology.Builder {
	b := topology.New("accounts", envelope.Headers())
	accounts := topology.NewProcessor(Commands.Stream(b), "accounts", Handle)
	topology.Output(accounts, &accounts.Ports.Events).To(Events)
	topology.Output(accounts, &accounts.Ports.Rejections).To(Rejections)
	return b
}

// Readers make what is asked for of the events alone: the latest state, and each account's
// history.
func Readers() *topology.Builder {
	b := topology.New("account-readers", envelope.Headers())
	events := Events.Stream(b)
	topology.Aggregate(events, "balances", Evolve).To(Balances)
	topology.Aggregate(events, "histories", History.Append, topology.StateCodec(histories))
	return b
}
