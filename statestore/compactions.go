package statestore

import "github.com/cockroachdb/pebble/v2"

// compactions lets Pebble compact as it would by itself, but for the look ten times a second
// whether more may run at a time than before, which keeps an idle process awake. More may
// only where more was flushed, so the flusher looks.
type compactions struct {
	// Its name says for tests: it is the usual one without the ticker.
	*pebble.ConcurrencyLimitScheduler
}

func newCompactions() *compactions {
	return &compactions{pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()}
}

// look begins a compaction that waits, if one may run: who ends one does that.
func (c *compactions) look() {
	if ok, grant := c.TrySchedule(); ok {
		grant.Done()
	}
}
