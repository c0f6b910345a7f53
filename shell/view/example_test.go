package view_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/shell/view"
)

// A service writes a word, and reads how often it was written: its own write is counted, however
// far the topology lags. The topology may run in any process.
func Example() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "words", "counts"))
	check(err)
	defer cluster.Close()

	ctx, stop := context.WithCancel(context.Background())
	broker, err := kafka.Open(ctx, kafka.Config{Brokers: cluster.ListenAddrs()})
	check(err)
	defer broker.Close()
	plan, err := count().Build()
	check(err)
	ended := make(chan error)
	go func() {
		ended <- shell.Run(ctx, plan, shell.Config{Broker: broker, Logger: slog.New(slog.DiscardHandler)})
	}()

	counted, err := view.Open(ctx, broker, counts)
	check(err)
	defer counted.Close()

	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	check(err)
	defer producer.Close()
	for range 2 {
		r := &kgo.Record{Topic: "words", Value: []byte("limpet")}
		check(producer.ProduceSync(ctx, r).FirstErr())
		token := shell.Position{{Topic: r.Topic, ID: r.Partition}: core.Offset(r.Offset + 1)}
		check(counted.Await(ctx, plan, plan.Name(), token))
		n, _ := counted.Get("limpet")
		fmt.Println(n)
	}
	stop()
	check(<-ended)
	// Output:
	// 1
	// 2
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
