package demo

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestBrokerReadsBackWhatIsCommitted: nothing of an aborted transaction, all of the
// others, and no waiting for what control records hide.
func TestBrokerReadsBackWhatIsCommitted(t *testing.T) {
	dir := t.TempDir()
	b, err := openBroker(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.create(Topic{Name: "t"}, 2); err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	for i, commit := range []kgo.TransactionEndTry{true, false, true, false} {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for p := range int32(2) {
			r := &kgo.Record{Topic: "t", Partition: p, Value: fmt.Appendf(nil, "%d %v", i, commit)}
			if err := c.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	check := func(b *broker) {
		t.Helper()
		began, got := time.Now(), map[int32]string{}
		err := b.Read(t.Context(), "t", func(r *kgo.Record) error {
			got[r.Partition] += string(r.Value) + ";"
			return nil
		})
		if want := "0 true;2 true;"; err != nil || got[0] != want || got[1] != want {
			t.Errorf("got %v, %v", got, err)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
	}
	check(b)
	if n := b.commits.Hits(); n != 2 {
		t.Errorf("%d commits, want 2", n)
	}
	if _, err := openBroker(dir); err == nil {
		t.Error("two brokers on one directory")
	}
	b.close()
	if b, err = openBroker(dir); err != nil {
		t.Fatal(err)
	}
	defer b.close()
	check(b) // what was there is there
	if err := b.create(Topic{Name: "t"}, 9); err != nil || len(b.ends("t")) != 2 {
		t.Errorf("a topic that is there was made again: %v", err)
	}
}
