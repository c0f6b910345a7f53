package shell

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// A worker that takes a version of a global table while the next one is offered takes that one, too, though
// nothing else wakes it: the round ends when all wait (testing/synctest). internal/wakeups has the same for
// all of a worker; here the two are as close as they can be.
func TestGlobalReaderIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 100_000
		if testing.Short() {
			rounds /= 10
		}
		r := &globalReader{wake: make(chan struct{}, 1), next: make([]offered, 1), now: make([]*globalVersion, 1)}
		end := make(chan struct{})
		defer close(end)
		go func() {
			for {
				select {
				case <-r.woken():
					r.take(func(int, core.GlobalMove) {})
				case <-end:
					return
				}
			}
		}()
		var released atomic.Int64
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range rounds {
			var last *globalVersion
			for n := range 1 + i%3 {
				for k := min(n, 1) * rng.IntN(4000); k > 0; k-- { // about as long as a goroutine takes to wake up
					_ = k
				}
				if last != nil {
					last.drop()
				}
				last = (&globalVersion{GlobalVersion: noRows{released: &released}}).hold()
				r.offer(0, last, nil)
			}
			synctest.Wait()
			if r.now[0] != last {
				t.Fatalf("round %d: all wait, and the last version is not taken: a wake-up was lost", i)
			}
			last.drop()
		}
		if n := released.Load(); n < int64(rounds)-1 {
			t.Errorf("%d versions were let go in %d rounds", n, rounds)
		}
	})
}

// noRows is a version that counts its end.
type noRows struct {
	statestore.GlobalVersion
	released *atomic.Int64
}

func (v noRows) Release() { v.released.Add(1) }
