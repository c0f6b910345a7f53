package kafka

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

func TestAdmin(t *testing.T) {
	c := fake(t, 3)
	b := open(t, testConfig(c.ListenAddrs()))
	ctx := limit(t, 20*time.Second)
	topics := []shell.Topic{
		{Name: "a", Partitions: 4, Replicas: 1, Config: map[string]string{"cleanup.policy": "compact"}},
		{Name: "b", Partitions: 1},
	}
	must(t, b.CreateTopics(ctx, topics))
	must(t, b.CreateTopics(ctx, topics)) // another process was faster
	found, err := b.Topics(ctx, "a", "b", "none")
	must(t, err)
	if len(found) != 2 || found["a"].Partitions != 4 || found["a"].Config["cleanup.policy"] != "compact" || found["b"].Partitions != 1 {
		t.Fatalf("%+v", found)
	}
	p := b.NewProducer(shell.ProducerConfig{TransactionalID: "x", Group: "g"})
	defer p.Close()
	must(t, p.Open(ctx))
	batch := &shell.ProduceBatch{Partition: tp("b", 0), Records: records(10, "%d")}
	must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
	must(t, p.SendOffsets(ctx, nil, []shell.GroupOffset{{Partition: tp("a", 2), Next: 42, Metadata: "meta"}}))
	must(t, p.End(ctx))
	bounds, err := b.Bounds(ctx, []shell.Partition{tp("a", 0), tp("a", 3), tp("b", 0)})
	must(t, err)
	if bounds[tp("a", 0)] != (shell.Bounds{}) || bounds[tp("b", 0)] != (shell.Bounds{Start: 0, End: 11}) {
		t.Fatalf("%+v", bounds)
	}
	must(t, b.DeleteRecords(ctx, map[shell.Partition]core.Offset{tp("b", 0): 4, tp("a", 1): 0}))
	if bounds, err = b.Bounds(ctx, []shell.Partition{tp("b", 0)}); err != nil || bounds[tp("b", 0)].Start != 4 {
		t.Fatal(bounds, err)
	}
	offsets, err := b.Committed(ctx, "g", []shell.Partition{tp("a", 2), tp("a", 1)})
	must(t, err)
	if len(offsets) != 1 || offsets[tp("a", 2)] != (shell.GroupOffset{Partition: tp("a", 2), Next: 42, Metadata: "meta"}) {
		t.Fatalf("%+v", offsets)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	must(t, l.Close())
	cfg := testConfig([]string{addr})
	cfg.DialTimeout = 300 * time.Millisecond
	began := time.Now()
	_, err = Open(t.Context(), cfg)
	if !errors.Is(err, shell.ErrUnreachable) || !strings.Contains(err.Error(), "is Kafka up") || time.Since(began) > 3*time.Second {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
}

func TestConfig(t *testing.T) {
	cfg := Config{Brokers: []string{"a:1"}, SASL: SASL{"PLAIN", "me", "hush-hush"}}
	must(t, cfg.Validate())
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if s := fmt.Sprintf(f, cfg); strings.Contains(s, "hush") || strings.Contains(s, "68757368") {
			t.Errorf("%s shows the password: %s", f, s)
		}
	}
	if s := fmt.Sprint(cfg.explain(errors.New("x"))); strings.Contains(s, "hush") {
		t.Error(s)
	}
	for name, bad := range map[string]Config{
		"Brokers is empty":  {},
		"no host:port":      {Brokers: []string{"a"}},
		"Compression":       {Brokers: []string{"a:1"}, Compression: "rar"},
		"Mechanism":         {Brokers: []string{"a:1"}, SASL: SASL{Mechanism: "X"}},
		"User and Password": {Brokers: []string{"a:1"}, SASL: SASL{Mechanism: "PLAIN"}},
		"third":             {Brokers: []string{"a:1"}, HeartbeatInterval: 9 * time.Second},
		"15 minutes":        {Brokers: []string{"a:1"}, TransactionTimeout: time.Hour},
		"no such file":      {Brokers: []string{"a:1"}, TLS: TLS{CA: "/none"}},
		"go together":       {Brokers: []string{"a:1"}, TLS: TLS{Cert: "/none"}},
	} {
		if err := bad.Validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
