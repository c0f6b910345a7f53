package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

const (
	nodes         = 3
	processes     = 3
	partitionsMax = 8
	shop          = "shop"
	workers       = 2 // of each process
)

// internal are the topics of ShopTopology's own that it reads.
var internal = []string{"shop-by-customer-repartition", "shop-by-city-repartition"}

// errSkipped: the fault cannot be done here, or not any more.
var errSkipped = errors.New("skipped")

// TestRealKafkaStorm runs three processes of one application, of two workers each, on three brokers, by
// TLS, each behind a network of its own, and harms processes, networks and brokers at the same time while
// orders come in. Then it lets everything be well, and compares.
func TestRealKafkaStorm(t *testing.T) {
	s := newStorm(t, envInt("LIMPET_CHAOS_FAULTS", 40), envDuration(t, "LIMPET_CHAOS_FOR"))
	for _, p := range s.procs {
		p.start()
	}
	s.feed.start()
	s.blow()
	s.calm()
	s.compare("as its process left it", s.procs...)
	s.judge()
	s.restore()
	s.refuse()
	s.out.write(t, os.Getenv("LIMPET_CHAOS_REPORT"))
}

// storm is a cluster, an application, and all that goes wrong.
type storm struct {
	t      *testing.T
	seed   uint64
	faults int           // so many at least
	least  time.Duration // and for so long
	c      *kafkatest.Cluster
	feed   *feeder
	procs  []*proc
	check  *checker
	tail   *tail
	disks  bool // each process has a small disk of its own, which may be full
	full   [processes]atomic.Bool
	apart  [processes]atomic.Int64 // > 0: something is wrong with its network, or was just now
	begun  atomic.Int64
	out    *outcome
}

func newStorm(t *testing.T, faults int, least time.Duration) *storm {
	kafkatest.Require(t)
	seed := uint64(envInt("LIMPET_CHAOS_SEED", int(time.Now().UnixNano()%1_000_000)))
	t.Logf("LIMPET_CHAOS_SEED=%d LIMPET_CHAOS_FAULTS=%d LIMPET_CHAOS_FOR=%v", seed, faults, least)
	s := &storm{t: t, seed: seed, faults: faults, least: least, c: kafkatest.Start(t, kafkatest.Config{
		Nodes: nodes, Doors: processes, Security: kafkatest.Security{Protocol: kafkatest.SSL, ClientCert: true},
	})}
	t.Cleanup(s.keepLogs)
	s.c.CreateTopic(t, "customers", partitions, map[string]string{"cleanup.policy": "compact"})
	for _, topic := range []string{"orders", "emails", "order-counts"} {
		s.c.CreateTopic(t, topic, partitions, nil)
	}
	in := newInput(t, s.c)
	in.seedCustomers()
	s.feed = newFeeder(t, s.c, in, seed, envInt("LIMPET_CHAOS_RATE", 300))
	s.check, s.tail = newChecker(t, s.c), newTail(t, s.c, "emails", "order-counts")
	s.out = newOutcome(seed, faults, least)

	bin := build(t, "./internal/chaos/app")
	for i, disk := range s.homes() {
		p := &proc{
			t: t, name: fmt.Sprint("process ", i), bin: bin, dir: filepath.Join(disk, "state"),
			log: filepath.Join(t.ArtifactDir(), fmt.Sprintf("process%d.log", i)), ended: s.ended,
			args: []string{
				"run", shop, "--brokers", strings.Join(s.c.Door(i), ","), "--state-dir", filepath.Join(disk, "state"), "--workers", fmt.Sprint(workers),
				"--tls-ca", s.c.CA().File, "--tls-cert", s.c.ClientCert().CertFile, "--tls-key", s.c.ClientCert().KeyFile,
			},
		}
		t.Cleanup(p.kill)
		s.procs = append(s.procs, p)
	}
	return s
}

// homes are the folders of the processes, each a disk of its own where such can be had. Where not, the storm goes
// on without full disks, and its report says so, unless a number of faults was asked for: it would not be
// that of all kinds.
func (s *storm) homes() []string {
	s.t.Helper()
	dirs, err := disks(s.t, processes)
	if s.disks = err == nil; s.disks {
		return dirs
	}
	if os.Getenv("LIMPET_CHAOS_FAULTS") != "" {
		s.t.Fatalf("LIMPET_CHAOS_FAULTS asks for faults of all kinds, and no disk can be made full here, with LIMPET_CHAOS_FOR alone the storm goes on without:\n%v", err)
	}
	s.out.lacks = fmt.Sprintf("no disk was ever full, as none could be mounted (%s)", strings.ReplaceAll(err.Error(), "\n", "; "))
	s.t.Log("NOT COMPLETE: ", s.out.lacks)
	for range processes {
		dirs = append(dirs, s.t.TempDir())
	}
	return dirs
}

// keepLogs puts the brokers' logs beside those of the processes (go test -artifacts), and
// shows the ends of the latter.
func (s *storm) keepLogs() {
	for id := 1; id <= nodes; id++ {
		if b, err := os.ReadFile(s.c.Node(id).Log()); err == nil {
			_ = os.WriteFile(filepath.Join(s.t.ArtifactDir(), fmt.Sprintf("node%d.log", id)), b, 0o644)
		}
	}
	if s.t.Failed() {
		for _, p := range s.procs {
			b, _ := os.ReadFile(p.log)
			s.t.Logf("%s:\n%s", p.name, lastOf(string(b), 8000))
		}
	}
}

// ended notes that a process has ended by itself, which needs an excuse.
func (s *storm) ended(p *proc, code int, last string) {
	i := slices.Index(s.procs, p)
	note, ok := end{code, last}.excused(s.full[i].Load(), s.apart[i].Load() > 0)
	if s.out.note(note); !ok {
		s.t.Errorf("%s ended by itself, with code %d: %s", p.name, code, last)
	}
}

// blow does the faults: beside each other those of each process, of its network, and of
// the brokers.
func (s *storm) blow() {
	var wg sync.WaitGroup
	began := time.Now()
	slot := func(n uint64, i int, faults []fault, rest time.Duration) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(s.seed, n))
			for s.begun.Load() < int64(s.faults) || time.Since(began) < s.least {
				time.Sleep(between(r, rest/4, rest*7/4))
				s.harm(i, r, faults)
			}
		})
	}
	for i := range processes {
		slot(uint64(i), i, processFaults, 7*time.Second)
		slot(uint64(10+i), i, networkFaults, 12*time.Second)
	}
	slot(20, 0, clusterFaults, 8*time.Second)
	wg.Wait()
	s.out.blew = time.Since(began)
}

// harm does one of the faults.
func (s *storm) harm(i int, r *rand.Rand, faults []fault) {
	all := 0
	for _, f := range faults {
		all += f.weight
	}
	x, k := r.IntN(all), 0
	for ; x >= faults[k].weight; k++ {
		x -= faults[k].weight
	}
	f := faults[k]
	began := time.Now()
	switch err := f.harm(s, i, r); {
	case errors.Is(err, errSkipped):
	case err != nil:
		s.t.Errorf("%s: %v", f.name, err)
	default:
		n := s.begun.Add(1)
		s.out.fault(f.name)
		s.t.Logf("%s %3d: %s (%d, %s)", time.Now().Format(time.TimeOnly), n, f.name, i, time.Since(began).Round(100*time.Millisecond))
	}
}

// stop ends a process with SIGTERM, and notes how.
func (s *storm) stop(i int) {
	p := s.procs[i]
	took, code := p.stop()
	s.out.stop(took)
	last := lastError(p.log)
	switch note, ok := (end{code, last}).stopped(s.full[i].Load()); {
	case !ok:
		s.t.Errorf("%s: after SIGTERM it ended with code %d: %s", p.name, code, last)
	case note != "":
		s.out.note(note)
	}
}

// calm waits until all that went in has come out.
func (s *storm) calm() {
	s.t.Helper()
	if err := s.ready(); err != nil {
		s.t.Fatal(err)
	}
	s.feed.end(s.check)
	orders, _ := s.last()
	began := time.Now()
	if !s.tail.wait(len(orders)) {
		s.t.Error("not all that went in came out")
	}
	s.out.drained = time.Since(began)
	s.settled()
	_, s.out.longest = s.tail.quiet()
	// All at once, and nothing is in the way: this stop has a bound.
	var wg sync.WaitGroup
	for _, p := range s.procs {
		wg.Go(func() {
			if took, code := p.stop(); code != 0 || took > 5*time.Second {
				s.t.Errorf("%s: stopped after %v, with code %d", p.name, took, code)
			}
		})
	}
	wg.Wait()
}

// last writes to each partition once more, and gives all orders that there are, and the
// offsets behind them.
func (s *storm) last() (map[string]order, map[int32]int64) {
	s.t.Helper()
	ends, err := s.check.ends("orders")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.feed.last(len(ends)); err != nil {
		s.t.Fatal(err)
	}
	orders, at := s.check.orders()
	s.feed.check(s.check, orders)
	return orders, at
}

// settled waits until the group has committed all that there is, and says what it has not after two
// minutes.
func (s *storm) settled() {
	s.t.Helper()
	last := map[string]map[int32]int64{}
	for _, topic := range append([]string{"orders", "customers"}, internal...) {
		last[topic] = s.check.read(topic, func(*kgo.Record) {})
	}
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		var wrong []string
		for topic, last := range last {
			wrong = append(wrong, s.check.offsets(shop, topic, last)...)
		}
		if len(wrong) == 0 {
			return
		}
		if time.Since(began) > 2*time.Minute {
			s.t.Errorf("the group's offsets: %v", wrong)
			return
		}
	}
}

// compare holds the state directories of processes that have stopped up against the logs.
func (s *storm) compare(how string, procs ...*proc) {
	s.t.Helper()
	var dirs []string
	for _, p := range procs {
		dirs = append(dirs, p.dir)
	}
	rep := s.check.state(shop, dirs)
	s.out.states = append(s.out.states, namedState{how, rep})
	if s.t.Logf("state, %s: %v", how, rep); !rep.ok() {
		s.t.Errorf("state, %s: is not what the logs leave: %q", how, rep.lines())
	}
}

// alone runs one process for as long as it takes to do what there is, with more orders; it gives all
// orders and what lies behind them.
func (s *storm) alone(p *proc) (map[string]order, map[int32]int64) {
	s.t.Helper()
	p.start()
	orders, at := s.last()
	s.tail.wait(len(orders))
	s.settled()
	if _, code := p.stop(); code != 0 {
		s.t.Errorf("%s: after SIGTERM it ended with code %d: %s", p.name, code, lastError(p.log))
	}
	return orders, at
}

// judge compares what came out with what went in, and the state with the logs: that of one
// process that has taken over all tasks, from what it and the others have left.
func (s *storm) judge() {
	s.t.Helper()
	orders, at := s.alone(s.procs[0])
	rows, customers := history{}, tableLog{}
	s.check.read("customers", func(r *kgo.Record) {
		rows.add(r)
		customers.add(r)
		if s.out.changes++; r.Value == nil {
			s.out.deletions++
		}
	})
	s.out.orders, s.out.aborted = len(orders), s.feed.aborted
	s.out.emails, s.out.counts = s.check.emails(orders, rows), s.check.counts(orders)
	for topic, rep := range map[string]report{"emails": s.out.emails, "order-counts": s.out.counts} {
		if s.t.Logf("%s: %v", topic, rep); !rep.ok() {
			s.t.Errorf("%s: not exactly once, in order: %v", topic, rep)
		}
	}
	wrong := s.check.offsets(shop, "orders", at)
	cities := tableLog{}
	s.check.read("shop-by-city-changelog", cities.add)
	s.out.cities = len(cities.all())
	if wrong = append(wrong, judgeCities(customers.all(), cities.all())...); len(wrong) > 0 {
		s.t.Errorf("%d are wrong: %q", len(wrong), wrong[:min(len(wrong), 20)])
	}
	s.compare("after one process had taken over all tasks", s.procs[0])
}

// restore has a process read all tasks from their logs, and compares again.
func (s *storm) restore() {
	s.t.Helper()
	p := s.procs[0]
	if err := os.RemoveAll(p.dir); err != nil {
		s.t.Fatal(err)
	}
	s.alone(p)
	s.compare("after one process had restored all tasks from nothing", p)
}

// refuse gives a topic that is joined more partitions: all processes must end, with code 3
// and the reason, and commit nothing more.
func (s *storm) refuse() {
	s.t.Helper()
	for _, p := range s.procs {
		p.start()
	}
	time.Sleep(5 * time.Second)
	for _, p := range s.procs {
		p.mayEnd()
	}
	if err := s.grow("customers", partitions+1); err != nil {
		s.t.Fatal(err)
	}
	s.out.refused = true
	for _, p := range s.procs {
		code, err := p.wait(2 * time.Minute)
		if last := lastError(p.log); err != nil || code != 3 || !strings.Contains(last, "has grown") {
			s.out.refused = false
			s.t.Errorf("%s: customers has grown, and: code %d, %v, %s", p.name, code, err, last)
		}
	}
}
