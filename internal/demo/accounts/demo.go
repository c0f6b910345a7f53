package accounts

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kgo"

	es "github.com/seed-81380e12/limpet/examples/eventsourcing"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// Demo is event sourcing at work.
func Demo() cli.Demo {
	forever := map[string]string{"retention.ms": "-1", "retention.bytes": "-1"}
	return demo.New(demo.Spec{
		Name:       "event-sourcing",
		Short:      "bank accounts as their events: commands are decided, balances and histories folded",
		Topologies: Topologies,
		Topics: []demo.Topic{
			{Name: es.Commands.Name()},
			{Name: es.Rejections.Name()},
			{Name: es.Events.Name(), Config: forever},
			{Name: es.Balances.Name(), Config: map[string]string{"cleanup.policy": "compact"}},
		},
		Input: es.Commands.Name(), Output: es.Events.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder {
			return demo.Sending(f, 1, func(rng *rand.Rand, _ string) error { return send(f, rng) })
		},
		Show:  show,
		Audit: audit,
	})
}

// Topologies are the write side and the readers.
func Topologies() []*topology.Builder { return []*topology.Builder{es.Accounts(), es.Readers()} }

func show(r *kgo.Record) string {
	e, err := demo.Decode(es.Events, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s: %T%+v", e.Key, e.Value, e.Value)
}

// send sends a command with no knowledge of what became of earlier ones.
func send(f *demo.Feed, rng *rand.Rand) error {
	return demo.Send(f, es.Commands, fmt.Sprintf("account-%04d", rng.IntN(1000)), command(rng))
}

func command(rng *rand.Rand) es.Command {
	expected := 0
	if rng.IntN(10) == 0 {
		expected = 1 + rng.IntN(10)
	}
	cents := rng.Int64N(10_000)
	switch n := rng.IntN(10); {
	case n < 2:
		return es.Open{Owner: fmt.Sprintf("owner-%d", rng.IntN(100))}
	case n < 6:
		return es.Deposit{Cents: cents, Expected: expected}
	case n < 9:
		return es.Withdraw{Cents: cents, Expected: expected}
	}
	return es.Close{Expected: expected}
}

// audit decides all commands of each account again, in their order, and compares what
// should have happened with what did.
func audit(ctx context.Context, log demo.Log) (*demo.Report, error) {
	commands, err := demo.ByKey(ctx, log, es.Commands)
	if err != nil {
		return nil, err
	}
	events, err := demo.ByKey(ctx, log, es.Events)
	if err != nil {
		return nil, err
	}
	rejections, err := demo.ByKey(ctx, log, es.Rejections)
	if err != nil {
		return nil, err
	}
	balances, err := demo.ByKey(ctx, log, es.Balances)
	if err != nil {
		return nil, err
	}
	return judge(commands, events, rejections, balances), nil
}

func judge(commands map[string][]es.Command, events map[string][]es.Event, rejections map[string][]es.Rejection, balances map[string][]es.Account) *demo.Report {
	r := new(demo.Report)
	in, happened, refused := r.Seen("commands"), r.Seen("events"), r.Seen("rejections")
	faults, unbalanced := r.Faults(), r.Fault("unbalanced")
	for account, cs := range commands {
		in.N += int64(len(cs))
		var state es.Account
		var wantEvents []es.Event
		var wantRejections []es.Rejection
		var wantBalances []es.Account
		var ports es.Ports
		for _, c := range cs {
			ports = es.Ports{}
			state = es.Handle(state, c, &ports)
			wantEvents = append(wantEvents, ports.Events.Values()...)
			wantRejections = append(wantRejections, ports.Rejections.Values()...)
			if len(ports.Events.Values()) > 0 {
				wantBalances = append(wantBalances, state)
			}
		}
		demo.Compare(faults, "event of "+account, events[account], wantEvents)
		demo.Compare(faults, "rejection of "+account, rejections[account], wantRejections)
		demo.Compare(faults, "balance of "+account, balances[account], wantBalances)
	}
	for account, es := range events {
		happened.N += int64(len(es))
		if _, ok := commands[account]; !ok {
			faults.Wrong.Found("%s has events and was sent no command", account)
		}
		if n := len(balances[account]); n > 0 && balances[account][n-1].Cents != flow(es) {
			unbalanced.Found("%s: %d came and went, %d is left", account, flow(es), balances[account][n-1].Cents)
		}
	}
	for _, rs := range rejections {
		refused.N += int64(len(rs))
	}
	return r
}

// flow is what came into an account less what went out: arithmetic of the audit's own.
func flow(events []es.Event) (cents int64) {
	for _, e := range events {
		switch e := e.(type) {
		case es.Deposited:
			cents += e.Cents
		case es.Withdrawn:
			cents -= e.Cents
		}
	}
	return cents
}
