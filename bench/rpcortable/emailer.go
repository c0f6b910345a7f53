package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/workload"
	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/topology"
)

// The email service in its variants, each a role of a child process.
const (
	rpcRole   = "email-service-rpc"
	tableRole = "email-service-table"
)

// keyed is the variant whose orders have the customer's id as key.
const keyed = "table-keyed"

// job is what an email service is told.
type job struct {
	Variant     string
	Brokers     []string
	Topics      topics
	Commit      time.Duration
	StateDir    string
	Service     string // URL
	Concurrency int
	Batch       int
	TTL         time.Duration
}

// topics of a trial.
type topics struct{ Customers, Orders, Emails string }

const partitions = 4

// topologyOf is the example's, on the trial's topics. byCustomer: orders have the customer's id
// as key.
func topologyOf(t topics, byCustomer bool) (*topology.Plan, error) {
	kc, vc := emailservice.Customers.Codecs()
	ko, vo := emailservice.Orders.Codecs()
	ke, ve := emailservice.Emails.Codecs()
	b := topology.New("email-service")
	customers := topology.NewTopic(t.Customers, kc, vc, topology.Compacted()).Table(b)
	orders := topology.NewTopic(t.Orders, ko, vo).Stream(b)
	if !byCustomer {
		orders = topology.KeyBy(orders, "by-customer", emailservice.Order.Customer)
	}
	topology.Join(orders, customers, "with-customer", emailservice.Compose).To(topology.NewTopic(t.Emails, ke, ve))
	return b.Build()
}

func parseJob(args []string) (j job, err error) {
	if len(args) != 1 {
		return j, fmt.Errorf("%d arguments", len(args))
	}
	return j, json.Unmarshal([]byte(args[0]), &j)
}

// tableChild is the email service on Limpet: customers are a local table.
func tableChild(ctx context.Context, args []string, _ func(any) error) (err error) {
	j, err := parseJob(args)
	if err != nil {
		return err
	}
	plan, err := topologyOf(j.Topics, j.Variant == keyed)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	broker, err := kafka.Open(ctx, kafka.Config{Brokers: j.Brokers, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	return shell.Run(ctx, plan, shell.Config{Broker: broker, AppID: "emails-" + j.Topics.Emails, StateDir: j.StateDir, CommitEvery: j.Commit, Logger: log})
}

// rpcChild is the email service that asks the customer service: a loop on franz-go, exactly
// once. Calls begin as orders come in; the transaction begins when all are answered, so
// that a slow customer service holds up no reader of the emails topic.
func rpcChild(ctx context.Context, args []string, _ func(any) error) error {
	j, err := parseJob(args)
	if err != nil {
		return err
	}
	c := newClient(j.Service, j.Concurrency)
	e := &emailer{job: j}
	switch j.Variant {
	case "rpc":
		e.lookup = each{c}
	case "rpc-batched":
		e.lookup = batched{c, j.Batch}
	case "rpc-cached":
		e.lookup = &cached{client: c, ttl: j.TTL, rows: map[string]*entry{}}
	default:
		return fmt.Errorf("no variant is named %q", j.Variant)
	}
	return e.run(ctx)
}

type emailer struct {
	job
	lookup lookup
	failed error
	mu     sync.Mutex
}

// ordersMax bounds a transaction.
const ordersMax = 5000

func (e *emailer) run(ctx context.Context) error {
	app := "emails-" + e.Topics.Emails
	sess, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(e.Brokers...),
		kgo.ConsumerGroup(app), kgo.ConsumeTopics(e.Topics.Orders), kgo.BlockRebalanceOnPoll(),
		kgo.TransactionalID(app),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer sess.CloseAllowingRebalance()
	cl := sess.Client()
	for ctx.Err() == nil {
		parts, err := e.gather(ctx, cl)
		if err != nil {
			return err
		}
		if len(parts) > 0 && ctx.Err() == nil {
			if err := e.send(ctx, sess, parts); err != nil {
				return err
			}
		}
		cl.AllowRebalance()
	}
	return nil
}

// gather takes the orders of one transaction, and returns when they are looked up: what
// comes within the commit interval, from the first order on.
func (e *emailer) gather(ctx context.Context, cl *kgo.Client) (parts [][]order, err error) {
	var wait sync.WaitGroup
	defer wait.Wait()
	take := func(fs kgo.Fetches) (int, error) {
		if err := fatal(fs); err != nil || fs.NumRecords() == 0 {
			return 0, err
		}
		part, err := decode(fs)
		if err != nil {
			return 0, err
		}
		e.lookup.begin(ctx, &wait, part)
		parts = append(parts, part)
		return len(part), nil
	}
	n, err := take(cl.PollRecords(ctx, ordersMax/2))
	if n == 0 {
		return nil, err
	}
	polling, cancel := context.WithTimeout(ctx, e.Commit)
	defer cancel()
	for polling.Err() == nil && n < ordersMax {
		more, err := take(cl.PollRecords(polling, ordersMax/2))
		if err != nil {
			return nil, err
		}
		n += more
	}
	return parts, nil
}

// send writes the emails and the offsets in one transaction.
func (e *emailer) send(ctx context.Context, sess *kgo.GroupTransactSession, parts [][]order) error {
	ctx = context.WithoutCancel(ctx)
	if err := sess.Begin(); err != nil {
		return err
	}
	for _, part := range parts {
		for i := range part {
			o := &part[i]
			if o.err != nil {
				return o.err
			}
			if !o.found {
				continue
			}
			value, err := json.Marshal(emailservice.Compose(o.Order, o.customer))
			if err != nil {
				return err
			}
			key := []byte(o.CustomerID)
			sess.Produce(ctx, &kgo.Record{Topic: e.Topics.Emails, Partition: workload.Partition(key, partitions), Key: key, Value: value}, func(_ *kgo.Record, err error) {
				e.mu.Lock()
				e.failed = errors.Join(e.failed, err)
				e.mu.Unlock()
			})
		}
	}
	committed, err := sess.End(ctx, kgo.TryCommit)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := errors.Join(err, e.failed); err != nil || !committed {
		return fmt.Errorf("transaction: committed %v: %w", committed, err)
	}
	return nil
}

func decode(fs kgo.Fetches) ([]order, error) {
	orders := make([]order, 0, fs.NumRecords())
	for it := fs.RecordIter(); !it.Done(); {
		r := it.Next()
		var o order
		if err := json.Unmarshal(r.Value, &o.Order); err != nil {
			return nil, fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		orders = append(orders, o)
	}
	return orders, nil
}

func fatal(fs kgo.Fetches) error {
	for _, e := range fs.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled) || kerr.IsRetriable(e.Err) {
			continue
		}
		return fmt.Errorf("%s/%d: %w", e.Topic, e.Partition, e.Err)
	}
	return nil
}
