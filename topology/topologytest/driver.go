package topologytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// Driver runs one or several topologies that share topics.
type Driver struct {
	t       testing.TB
	cfg     Config
	apps    []*app
	units   []*unit // in the order of the data
	topics  map[string]*topic
	now     core.Time
	wall    core.Time  // of the last tick
	rng     *rand.Rand // nil: nothing is random
	batches bool       // sends may wait for each other
	anyTime bool       // also one that is not younger than the one before
	queue   []queued
	crashes int // records run for the first time since the last crash
}

// Config says how a Driver runs; its zero is one partition, and a batch and a commit for
// each record.
type Config struct {
	Partitions  int    // of every topic that declares none
	Batch       int    // records in a batch
	CommitEvery int    // records
	CrashAfter  int    // crash and restore after so many records; 0: never
	Seed        uint64 // of random batches, commits and aborts; 0: nothing is random
	RecordBytes int    // the largest record that a topic takes, as max.message.bytes; 0: any
	// Open, if not nil, opens a store for the committed rows of a task, which tasks read in
	// place of the driver's own: empty, at the start and after each crash.
	Open func(topology string, id core.TaskID, tables []topology.TableSpec) Store
}

// Store keeps the committed rows of one task: see statestore.Store.
type Store interface {
	View(core.TableID) core.View
	Apply([]core.Write) error
}

// New builds the topologies, fails t with all of Build's mistakes, and starts them.
func New(t testing.TB, topologies ...*topology.Builder) *Driver {
	t.Helper()
	return Config{}.New(t, topologies...)
}

// New is New with a Config.
func (c Config) New(t testing.TB, topologies ...*topology.Builder) *Driver {
	t.Helper()
	c.Partitions, c.Batch, c.CommitEvery = max(c.Partitions, 1), max(c.Batch, 1), max(c.CommitEvery, 1)
	d := &Driver{t: t, cfg: c, topics: map[string]*topic{}, now: start, wall: start}
	if c.Seed != 0 {
		d.rng = rand.New(rand.NewPCG(c.Seed, 0))
	}
	var plans []*topology.Plan
	for _, b := range topologies {
		p, err := b.Build()
		if err != nil {
			t.Fatalf("topology %q does not build:\n%v", b.Name(), err)
		}
		if slices.ContainsFunc(plans, func(o *topology.Plan) bool { return o.Name() == p.Name() }) {
			t.Fatalf("two topologies are named %q", p.Name())
		}
		plans = append(plans, p)
	}
	d.layout(plans)
	d.batches = (c.Batch > 1 || c.CommitEvery > 1 || c.CrashAfter > 0 || d.rng != nil) && d.ordered()
	d.anyTime = d.single()
	for _, a := range d.apps {
		a.open()
	}
	t.Cleanup(d.finish)
	return d
}

// T is what the driver reports to: in EveryWay, the subtest of the way that runs. What a
// scenario finds out for itself it reports there, so that the way is told. Outside of a test
// (see Run) it has Errorf, Fatalf and Fatal only.
func (d *Driver) T() testing.TB { return d.t }

// start is when a Driver starts.
var start = core.Time(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())

// At is a time of the day on which a Driver starts, 2025-01-01 in UTC: "10:04", "10:04:30",
// "10:04:30.250". It panics for anything else. For other days there is topology.TimeOf.
func At(clock string) core.Time {
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, clock); err == nil {
			midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
			return start.Add(t.Sub(midnight))
		}
	}
	panic(fmt.Sprintf("topologytest: %q is no time of the day", clock))
}

// Now is the driver's time: that of the next Send. It begins at 2025-01-01 00:00 UTC.
func (d *Driver) Now() core.Time { return d.now }

// Advance moves the clock on and tells it to all topologies: wall timers go off, and where
// a topology says AdvanceIdle, its operators' times move on. Records sent later carry the new
// time. A clock that goes back fails the test.
func (d *Driver) Advance(by time.Duration) {
	d.t.Helper()
	d.advance(by, false)
}

// AdvanceTo is Advance up to a time, which is not before Now.
func (d *Driver) AdvanceTo(t core.Time) {
	d.t.Helper()
	d.advance(t.Sub(d.now), false)
}

// Elapse is Advance that moves the time of all operators on as well, as if a record of the
// new time had reached each of them: timers go off, windows close, what is held back goes on.
func (d *Driver) Elapse(by time.Duration) {
	d.t.Helper()
	d.advance(by, true)
}

func (d *Driver) advance(by time.Duration, pass bool) {
	d.t.Helper()
	if by < 0 {
		d.t.Fatalf("the clock is at %s and cannot go back to %s", clock(d.now), clock(d.now.Add(by)))
	}
	d.flush()
	before := d.now
	d.now = d.now.Add(by)
	d.wall = d.now
	for _, u := range d.units { // what a task makes is there for those behind it
		if !u.app.runs() {
			continue
		}
		for _, t := range u.tasks {
			if !t.told() {
				break // it was thrown back; nothing waits
			}
			err := t.core.Tick(before) // from here on nothing comes
			if err == nil {
				err = t.core.Tick(d.now)
			}
			if err == nil && pass {
				err = t.core.Pass(d.now)
			}
			if err != nil {
				u.app.stop(err)
				break
			}
		}
		if u.app.runs() {
			u.app.commit()
		}
		d.settle()
	}
}

// Crash drops all that is not committed and all local state, and restores from the
// changelogs.
func (d *Driver) Crash() {
	d.t.Helper()
	d.flush()
	for _, a := range d.apps {
		a.crash()
	}
	d.settle()
}

// Wipe is Crash that drops the changelogs and offsets too, and all that topologies wrote:
// everything is made anew from what was sent. A Want after it sees it again.
func (d *Driver) Wipe() {
	d.t.Helper()
	d.flush()
	for _, tp := range d.topics {
		tp.wipe()
	}
	for _, a := range d.apps {
		a.wipe()
	}
	d.settle()
}

// Pause stops a topology; Resume lets it catch up.
func (d *Driver) Pause(name string) {
	d.t.Helper()
	a := d.app(name)
	d.flush()
	a.paused = true
}

// Resume undoes Pause.
func (d *Driver) Resume(name string) {
	d.t.Helper()
	a := d.app(name)
	d.flush()
	a.paused = false
	d.settle()
}

// Stopped is why a topology stopped, or nil. What came before the record that stopped it
// is committed. A test in which a topology stops, and which does not ask, fails.
func (d *Driver) Stopped(name string) error {
	d.t.Helper()
	a := d.app(name)
	d.flush()
	a.asked = true
	return a.stopped
}

// Dropped is how many records a node dropped for a reason. A node that no topology has fails
// the test.
func (d *Driver) Dropped(node string, why topology.Reason) int {
	d.t.Helper()
	d.flush()
	key, n, known := dropped{node, why}, int64(0), false
	for _, a := range d.apps {
		n += a.dropped[key]
		for _, t := range a.tasks {
			t.core.Dropped(func(node string, why core.Reason, k int64) {
				if key == (dropped{node, why}) {
					n += k
				}
			})
		}
		known = known || slices.Contains(a.nodes(), node)
	}
	if !known {
		var names []string
		for _, a := range d.apps {
			names = append(names, a.nodes()...)
		}
		slices.Sort(names)
		d.t.Fatalf("no node is named %q; there are: %s", node, strings.Join(slices.Compact(names), ", "))
	}
	return int(n)
}

// nodes are the names of the topology's nodes.
func (a *app) nodes() []string {
	if a.named == nil {
		for _, s := range a.plan.Description().Subtopologies {
			for _, n := range s.Nodes {
				a.named = append(a.named, n.Name)
			}
		}
	}
	return a.named
}

func clock(t core.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

func (d *Driver) app(name string) *app {
	d.t.Helper()
	var names []string
	for _, a := range d.apps {
		if a.name() == name {
			return a
		}
		names = append(names, a.name())
	}
	d.t.Fatalf("no topology is named %q; there are: %s", name, strings.Join(names, ", "))
	return nil
}

// finish fails a test in which a topology stopped unnoticed.
func (d *Driver) finish() {
	if d.t.Failed() {
		return
	}
	d.flush()
	for _, a := range d.apps {
		if a.stopped != nil && !a.asked {
			d.t.Errorf("topology %s has stopped: %v", a.name(), a.stopped)
		}
	}
}

// queued is a record that was sent and not yet appended.
type queued struct {
	to  *topic
	rec core.RawRecord
	by  []byte // what it is partitioned by
}

// send takes a record of the test.
func (d *Driver) send(to *topic, r core.RawRecord, by []byte) {
	d.t.Helper()
	if n := len(d.queue); n > 0 && (d.queue[n-1].to != to || !d.anyTime && d.queue[n-1].rec.Time >= r.Time) {
		d.flush()
	}
	d.queue = append(d.queue, queued{to, r, by})
	if !d.batches {
		d.flush()
	}
}

// flush appends what was sent and runs all topologies until they rest.
func (d *Driver) flush() {
	d.t.Helper()
	if len(d.queue) == 0 {
		return
	}
	for _, q := range d.queue {
		q.to.append(q.rec, q.to.partitionOf(q.by, int32(len(q.to.log))), true)
	}
	d.queue = d.queue[:0]
	d.settle()
}

// settle runs all topologies until they rest. What is further up the data's way goes
// first, each time.
func (d *Driver) settle() {
	for i := 0; i < len(d.units); {
		if d.units[i].run() {
			i = 0
			continue
		}
		i++
	}
}
