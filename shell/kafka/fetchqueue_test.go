package kafka

import (
	"context"
	"testing"

	"github.com/seed-81380e12/limpet/shell"
)

// A Poll returns one response, whole, however many are queued: a worker that got all of
// them in one piece would not commit in time.
func TestPollIsOneResponse(t *testing.T) {
	a, b := shell.Partition{Topic: "a"}, shell.Partition{Topic: "b"}
	f := &fetcher{ready: make(chan struct{}, 1), done: make(chan struct{}), parts: map[shell.Partition]*fetchPart{a: {Partition: a}}}
	response := func(ps ...shell.Partition) {
		f.cut = true
		for _, p := range ps {
			f.push(shell.Fetched{Partition: p})
		}
	}
	poll := func(want ...shell.Partition) {
		t.Helper()
		got, err := f.Poll(context.Background())
		if err != nil || len(got) != len(want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
		for i := range want {
			if got[i].Partition != want[i] {
				t.Errorf("got %v, want %v", got[i].Partition, want[i])
			}
		}
	}
	response(a, b)
	response(b)
	response(a)
	response(b, a)
	poll(a, b)
	f.remove(a)
	poll(b)
	poll(b) // the response of a alone is gone
	response(b)
	response(b)
	poll(b)
	poll(b)
}
