package sim

import (
	"fmt"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/eventsourcing"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// accounts is the event-sourcing example's write side: commands are decided by the state
// that the events before them have made.
var accounts = scenario{
	name: "accounts",
	build: func(w *world) *topology.Builder {
		switch {
		case w.bug("an account may be overdrawn"):
			return wrongAccounts(overdrawn)
		case w.bug("a command of another version is rejected for something else"):
			return wrongAccounts(evasive)
		}
		return eventsourcing.Accounts()
	},
	topics: func(w *world) {
		w.make("account-commands", "account-rejections")
		w.kafka.create(shell.Topic{Name: "account-events", Partitions: w.set.partitions, Config: map[string]string{"retention.ms": "-1", "retention.bytes": "-1"}})
	},
	next: func(w *world, n int, aborted bool) input {
		var c eventsourcing.Command
		switch cents := int64(1 + w.rng.IntN(50)); w.rng.IntN(5) {
		case 0:
			c = eventsourcing.Open{Owner: fmt.Sprint("o", n)}
		case 1, 2:
			c = eventsourcing.Deposit{Cents: cents, Expected: w.rng.IntN(2) * w.rng.IntN(8)}
		case 3:
			c = eventsourcing.Withdraw{Cents: cents}
		case 4:
			c = eventsourcing.Close{}
		}
		if aborted {
			c = eventsourcing.Deposit{Cents: 1_000_000}
		}
		_, codec := eventsourcing.Commands.Codecs()
		b, err := codec.Append(nil, c)
		if err != nil {
			panic(err)
		}
		return input{"account-commands", fmt.Append(nil, "a", w.rng.IntN(4)), b, epoch + core.Time(n), -1}
	},
	model: func(w *world) error {
		_, commands := eventsourcing.Commands.Codecs()
		_, events := eventsourcing.Events.Codecs()
		want, got := map[string][]string{}, map[string][]string{}
		type account struct {
			open    bool
			cents   int64
			version int
		}
		state, rejected := map[string]*account{}, 0
		for _, r := range w.history("account-commands") {
			c, err := commands.Decode(r.Value)
			if err != nil {
				return err
			}
			k := string(r.Key)
			a := state[k]
			if a == nil {
				a = &account{}
				state[k] = a
			}
			done := ""
			switch c := c.(type) {
			case eventsourcing.Open:
				if !a.open {
					a.open, done = true, fmt.Sprint("open ", c.Owner)
				}
			case eventsourcing.Deposit:
				if a.open && (c.Expected == 0 || c.Expected == a.version) {
					a.cents += c.Cents
					done = fmt.Sprint("in ", c.Cents)
				}
			case eventsourcing.Withdraw:
				if a.open && c.Cents <= a.cents {
					a.cents -= c.Cents
					done = fmt.Sprint("out ", c.Cents)
				}
			case eventsourcing.Close:
				if a.open && a.cents == 0 {
					a.open, done = false, "close"
				}
			}
			if done == "" {
				rejected++
				continue
			}
			a.version++
			want[k] = append(want[k], done)
		}
		for _, r := range w.history("account-events") {
			e, err := events.Decode(r.Value)
			if err != nil {
				return err
			}
			text := "close"
			switch e := e.(type) {
			case eventsourcing.Opened:
				text = fmt.Sprint("open ", e.Owner)
			case eventsourcing.Deposited:
				text = fmt.Sprint("in ", e.Cents)
			case eventsourcing.Withdrawn:
				text = fmt.Sprint("out ", e.Cents)
			}
			got[string(r.Key)] = append(got[string(r.Key)], text)
		}
		for k := range state {
			if g, m := strings.Join(got[k], ", "), strings.Join(want[k], ", "); g != m {
				return fmt.Errorf("account %s: %s; the model says %s", k, g, m)
			}
		}
		if n := len(w.history("account-rejections")); n != rejected {
			return fmt.Errorf("%d rejections, the model says %d", n, rejected)
		}
		return nil
	},
	naive: newNaiveAccounts,
	says:  "each account has the events that its commands lead to, one after the other, and the others are rejected; what each transaction writes, and the rows at the end, are those of naive accounts",
}

// wrongAccounts is the write side of the example with a function that is wrong.
func wrongAccounts(handle func(eventsourcing.Account, eventsourcing.Command, *eventsourcing.Ports) eventsourcing.Account) *topology.Builder {
	b := topology.New("accounts", envelope.Headers())
	p := topology.NewProcessor(eventsourcing.Commands.Stream(b), "accounts", handle)
	topology.Output(p, &p.Ports.Events).To(eventsourcing.Events)
	topology.Output(p, &p.Ports.Rejections).To(eventsourcing.Rejections)
	return b
}

// overdrawn looks at no balance: a mistake to plant.
func overdrawn(a eventsourcing.Account, c eventsourcing.Command, p *eventsourcing.Ports) eventsourcing.Account {
	if w, ok := c.(eventsourcing.Withdraw); ok && a.Open && w.Cents > a.Cents {
		e := eventsourcing.Withdrawn{Cents: w.Cents}
		p.Events.Emit(e)
		return eventsourcing.Evolve(a, e)
	}
	return eventsourcing.Handle(a, c, p)
}

// evasive looks at the version of an account last: a mistake to plant.
func evasive(a eventsourcing.Account, c eventsourcing.Command, p *eventsourcing.Ports) eventsourcing.Account {
	if d, ok := c.(eventsourcing.Deposit); ok && !a.Open {
		d.Expected = 0
		c = d
	}
	return eventsourcing.Handle(a, c, p)
}
