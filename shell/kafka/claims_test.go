package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/shell"
)

// sarama understands the broker that has nothing: it waits while all is calm, and answers at
// once when it is not.
func TestNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := &Broker{cfg: Config{Brokers: []string{"a:1"}}.withDefaults()}
	c := newClaimClient(ctx, nil, b, []string{"in"})
	leader, _, err := c.LeaderAndEpoch("in", 0)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func() time.Duration {
		t.Helper()
		began := time.Now()
		r := &sarama.FetchRequest{Version: verFetch, SessionEpoch: -1}
		r.AddBlock("in", 0, 7, 1, -1)
		got, err := leader.Fetch(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Blocks) != 0 || got.ErrorCode != 0 {
			t.Fatalf("%+v", got)
		}
		return time.Since(began)
	}
	if d := fetch(); d < calmHold {
		t.Errorf("a fetch was held for %v", d)
	}
	time.AfterFunc(50*time.Millisecond, c.rest.disturb)
	if d := fetch(); d > calmHold*3/4 {
		t.Errorf("a fetch that was under way was held for %v", d)
	}
	if d := fetch(); d > calmHold*3/4 {
		t.Errorf("a fetch was held for %v", d)
	}
	cancel()
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
}

// A partition that is added while a calm poll is held is read at once, and so is one that
// was there.
func TestCalmFetch(t *testing.T) {
	t.Parallel()
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 2, "in")
	p := producerFor(t, b, "")
	f := b.NewFetcher(shell.FetchConfig{})
	defer f.Close()
	read := func(id int32, n int) {
		t.Helper()
		must(t, p.Produce(limit(t, 5*time.Second), []*shell.ProduceBatch{{Partition: tp("in", id), Records: records(n, "a%d")}}))
		for began := time.Now(); n > 0; {
			fs, err := f.Poll(limit(t, 5*time.Second))
			must(t, err)
			for _, x := range fs {
				must(t, x.Err)
				if x.ID == id {
					n -= len(x.Batch.Records)
				}
			}
			if d := time.Since(began); d > calmWait*3/4 {
				t.Errorf("partition %d is read after %v", id, d)
			}
		}
	}
	calm := func() {
		t.Helper()
		f := f.(*fetcher)
		for calm := false; !calm; time.Sleep(10 * time.Millisecond) {
			f.mu.Lock()
			for _, n := range f.nodes {
				calm = n.calm
			}
			f.mu.Unlock()
		}
		time.Sleep(50 * time.Millisecond) // the request is out
	}
	f.Add(tp("in", 0), 0, 1, 0)
	read(0, 3)
	calm()
	f.Add(tp("in", 1), 0, 2, 0)
	read(1, 2)
	calm()
	read(0, 1)
}
