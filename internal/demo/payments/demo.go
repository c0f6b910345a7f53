package payments

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/idempotent"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

const (
	accounts = 200
	// window is so short that the demo has payments that come again behind it.
	window = time.Second
)

// Demo is the idempotent consumer at work.
func Demo() cli.Demo {
	return demo.New(demo.Spec{
		Name:       "idempotent-consumer",
		Short:      "payments of a producer that sends some again, soon or late: each is booked once",
		Topologies: Topologies,
		Topics: []demo.Topic{
			{Name: idempotent.Payments.Name()},
			{Name: idempotent.Bookings.Name()},
			{Name: idempotent.Repeats.Name()},
		},
		Input: idempotent.Payments.Name(), Output: idempotent.Bookings.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder {
			return &feeder{feed: f, rng: rand.New(rand.NewPCG(1, 8)), numbers: map[string]int64{}}
		},
		Show:  show,
		Audit: audit,
	})
}

// Topologies is the ledger.
func Topologies() []*topology.Builder { return []*topology.Builder{idempotent.Consumer(window)} }

func show(r *kgo.Record) string {
	b, err := demo.Decode(idempotent.Bookings, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s: %d cents booked, %d now", b.Key, b.Value.Cents, b.Value.Balance)
}

// feeder is the producer.
type feeder struct {
	feed    *demo.Feed
	rng     *rand.Rand
	numbers map[string]int64 // the last one of each account
	newest  int64            // greatest time that earlier runs wrote, ms
	since   time.Duration
	again   []again
	err     error
}

// again is a payment that will be sent again.
type again struct {
	idempotent.Payment
	due time.Duration
}

func (f *feeder) Prepare(ctx context.Context) error {
	return f.feed.Read(ctx, idempotent.Payments.Name(), func(raw *kgo.Record) error {
		r, err := demo.Decode(idempotent.Payments, raw)
		f.numbers[r.Key] = max(f.numbers[r.Key], r.Value.Number)
		f.newest = max(f.newest, r.Time.UnixMilli())
		return err
	})
}

func (f *feeder) Run(ctx context.Context) error {
	f.feed.Now(f.newest)
	return f.feed.Pace(ctx, f.pay, func(since time.Duration) error {
		f.since = since
		f.again = slices.DeleteFunc(f.again, func(a again) bool {
			if a.due <= since {
				f.send(a.Payment)
			}
			return a.due <= since
		})
		return f.err
	})
}

func (f *feeder) send(p idempotent.Payment) {
	if err := demo.Send(f.feed, idempotent.Payments, p.Account, p); err != nil {
		f.err = err
	}
}

func (f *feeder) pay() {
	account := fmt.Sprintf("account-%03d", f.rng.IntN(accounts))
	f.numbers[account]++
	n := f.numbers[account]
	p := idempotent.Payment{EventID: fmt.Sprintf("%s/%d", account, n), Account: account, Number: n, Cents: f.rng.Int64N(20_000) - 9_000}
	f.send(p)
	switch f.rng.IntN(20) {
	case 0:
		f.again = append(f.again, again{p, f.since + time.Duration(f.rng.IntN(500))*time.Millisecond})
	case 1:
		f.again = append(f.again, again{p, f.since + window + time.Duration(f.rng.IntN(1000))*time.Millisecond})
	}
}

// sent is a payment as it lies in its partition.
type sent struct {
	idempotent.Payment
	partition int32
	at        time.Time
}

func audit(ctx context.Context, log demo.Log) (*demo.Report, error) {
	var payments []sent
	err := demo.Read(ctx, log, idempotent.Payments, func(r demo.Record[string, idempotent.Payment]) {
		payments = append(payments, sent{r.Value, r.Partition, r.Time})
	})
	if err != nil {
		return nil, err
	}
	bookings, err := demo.ByKey(ctx, log, idempotent.Bookings)
	if err != nil {
		return nil, err
	}
	repeats, err := demo.ByKey(ctx, log, idempotent.Repeats)
	if err != nil {
		return nil, err
	}
	return judge(payments, bookings, repeats), nil
}

// judge wants each payment booked when it came for the first time, with the right balance, and a
// repeat of each that came again when its id was forgotten.
func judge(payments []sent, bookings map[string][]idempotent.Booking, repeats map[string][]idempotent.Repeat) *demo.Report {
	r := new(demo.Report)
	in, booked := r.Seen("payments"), r.Seen("bookings")
	byID, byNumber := r.Told("known_by_id"), r.Told("known_by_number")
	faults := r.Faults()
	clock := map[int32]time.Time{} // by partition: the greatest time
	known := map[string]time.Time{}
	balances := map[string]int64{}
	wantBookings, wantRepeats := map[string][]idempotent.Booking{}, map[string][]idempotent.Repeat{}
	for _, p := range payments {
		in.N++
		if p.at.After(clock[p.partition]) {
			clock[p.partition] = p.at
		}
		first, ok := known[p.EventID]
		switch {
		case ok && !clock[p.partition].After(first.Add(window)):
			byID.N++
			continue
		case ok:
			byNumber.N++
			wantRepeats[p.Account] = append(wantRepeats[p.Account], idempotent.Repeat{EventID: p.EventID, Number: p.Number, Expected: int64(len(wantBookings[p.Account])) + 1})
		default:
			balances[p.Account] += p.Cents
			wantBookings[p.Account] = append(wantBookings[p.Account], idempotent.Booking{EventID: p.EventID, Number: p.Number, Cents: p.Cents, Balance: balances[p.Account]})
		}
		known[p.EventID] = p.at
	}
	for account, want := range wantBookings {
		booked.N += int64(len(bookings[account]))
		demo.Compare(faults, "booking of "+account, bookings[account], want)
		demo.Compare(faults, "repeat of "+account, repeats[account], wantRepeats[account])
	}
	for account := range bookings {
		if wantBookings[account] == nil {
			faults.Wrong.Found("%s has bookings and no payment", account)
		}
	}
	return r
}
