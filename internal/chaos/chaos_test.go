package chaos

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

const (
	partitions = 4
	customers  = 2000
	cities     = 1500 // some of which have no customers, now and then
	kills      = 12   // of each application, at least
	joins      = 3    // of a second instance
)

// TestRealKafkaChaos sends orders through the email service and the counter while their
// processes are killed with -9, second instances join and leave, and the broker is
// restarted.
func TestRealKafkaChaos(t *testing.T) {
	w := newWorld(t, envInt("LIMPET_CHAOS_ORDERS", 200_000), "exactly-once", "50ms")
	w.run(kills, joins, true, time.Minute)
	orders := w.settle()
	for name, rep := range map[string]report{"emails": w.check.emails(orders, nil), "order-counts": w.check.counts(orders)} {
		if t.Logf("%s: %v", name, rep); !rep.ok() {
			t.Errorf("%s: not exactly once, in order: %v", name, rep)
		}
	}
	for _, a := range w.apps {
		a.stop(0)
		a.noWipe()
	}
	for i, app := range []string{"email-service", "order-count"} {
		// The second instances have left, with what they had then.
		rep := w.check.state(app, []string{w.apps[i].dir(0), w.apps[i].dir(1)})
		if w.t.Logf("%s: %v", app, rep); !rep.ok() {
			w.t.Errorf("%s: state and logs differ: %v", app, rep.lines())
		}
	}
}

// TestRealKafkaChaosSees proves that the check can fail: with at least once, kills must
// show as doubled orders. None may be missing then either. A kill doubles something only
// between a commit's outputs and its offsets, so there are many commits and kills, and
// where all of them have missed, another try.
func TestRealKafkaChaosSees(t *testing.T) {
	kafkatest.Require(t)
	seen := false
	for try := 0; try < 3 && !seen; try++ {
		t.Run(fmt.Sprint("try", try), func(t *testing.T) {
			w := newWorld(t, envInt("LIMPET_CHAOS_ORDERS", 200_000)/10, "at-least-once", "10ms")
			w.run(3*kills/2, 0, false, 36*time.Second)
			orders := w.settle()
			rep, counts := w.check.emails(orders, nil), w.check.counts(orders)
			t.Logf("emails: %v; order-counts: %v", rep, counts)
			seen = rep.doubled+counts.doubled > 0
			if rep.missing+counts.missing > 0 {
				t.Error("at least once has lost something")
			}
		})
	}
	if !seen {
		t.Error("at least once, with kills, and nothing came twice: the check is blind")
	}
}

// settle waits until all that went in has come out, and returns it.
func (w *world) settle() map[string]order {
	w.t.Helper()
	orders, _ := w.check.orders()
	if len(orders) != w.orders {
		w.t.Fatalf("%d orders in the topic, %d were sent", len(orders), w.orders)
	}
	w.tail.wait(w.orders)
	return orders
}

// TestRealKafkaChaosSeesLoss is the same for what is lost: a mistake is planted, offsets
// are committed before the outputs are written.
func TestRealKafkaChaosSeesLoss(t *testing.T) {
	kafkatest.Require(t)
	seen := false
	for try := 0; try < 3 && !seen; try++ {
		t.Run(fmt.Sprint("try", try), func(t *testing.T) {
			w := prepare(t, envInt("LIMPET_CHAOS_ORDERS", 200_000)/10)
			a := newApp(t, w.c, "./internal/chaos/app", "run", "email-service", "--app-id", "email-service", "--guarantee", "at-least-once", "--commit-interval", "10ms")
			a.bin = build(t, "./internal/chaos/app", "-tags", "limpetbugs")
			a.env = []string{"LIMPET_PLANT=offsets are committed before the outputs"}
			w.apps = []*app{a}
			w.run(3*kills/2, 0, false, 18*time.Second)
			orders, _ := w.check.orders()
			for was := int64(-1); was != w.tail.counts["emails"].Load(); time.Sleep(5 * time.Second) { // as many as will come
				was = w.tail.counts["emails"].Load()
			}
			rep := w.check.emails(orders, nil)
			t.Logf("emails: %v", rep)
			seen = rep.missing > 0
		})
	}
	if !seen {
		t.Error("offsets were committed before outputs, with kills, and nothing was missing: the check is blind")
	}
}

// world is a cluster, what goes in, and the applications.
type world struct {
	t      *testing.T
	c      *kafkatest.Cluster
	rng    *rand.Rand
	in     *input
	orders int
	apps   []*app
	check  *checker
	tail   *tail
}

func newWorld(t *testing.T, orders int, guarantee, interval string) *world {
	w := prepare(t, orders)
	w.apps = []*app{
		newApp(t, w.c, "./cmd/processor", "run", "email-service", "--app-id", "email-service", "--guarantee", guarantee, "--commit-interval", interval),
		newApp(t, w.c, "./internal/chaos/app", "run", "order-count", "--app-id", "order-count", "--guarantee", guarantee, "--commit-interval", interval),
	}
	return w
}

// prepare makes a world with no applications yet.
func prepare(t *testing.T, orders int) *world {
	kafkatest.Require(t)
	seed := uint64(envInt("LIMPET_CHAOS_SEED", int(time.Now().UnixNano()%1_000_000)))
	t.Logf("LIMPET_CHAOS_SEED=%d LIMPET_CHAOS_ORDERS=%d", seed, orders)
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 0)), orders: orders, c: kafkatest.Start(t, kafkatest.Config{})}
	w.c.CreateTopic(t, "customers", partitions, map[string]string{"cleanup.policy": "compact"})
	for _, topic := range []string{"orders", "emails", "order-counts"} {
		w.c.CreateTopic(t, topic, partitions, nil)
	}
	w.in = newInput(t, w.c)
	w.in.seedCustomers()
	w.check, w.tail = newChecker(t, w.c), newTail(t, w.c, "emails", "order-counts")
	return w
}

// run feeds all orders, in the given time, while it does harm: for each application so many kills and joins
// of a second instance at least.
func (w *world) run(kills, joins int, restart bool, during time.Duration) {
	for _, a := range w.apps {
		a.start(0)
	}
	n := len(w.apps)
	fed := make(chan error, 1)
	go func() { fed <- w.in.feed(w.orders, during) }()
	killed, inWork, joined, restarted := 0, 0, 0, !restart
	for feeding := true; feeding || killed < kills*n || joined < joins*n || !restarted; {
		select {
		case err := <-fed:
			if err != nil {
				w.t.Fatal(err)
			}
			feeding = false
		case <-time.After(time.Duration(200+w.rng.IntN(1000)) * time.Millisecond):
		}
		switch x := w.rng.IntN(10); {
		case x < 6:
			a := w.apps[w.rng.IntN(n)]
			a.kill(0)
			if killed++; feeding {
				inWork++
			}
			time.Sleep(time.Duration(w.rng.IntN(300)) * time.Millisecond)
			a.start(0)
		case x < 9 && joined < joins*n:
			a := w.apps[joined%n]
			a.start(1)
			time.Sleep(time.Duration(1000+w.rng.IntN(3000)) * time.Millisecond)
			a.stop(1)
			joined++
		case !restarted && w.in.sent.Load() > int64(w.orders/3):
			w.restartBroker()
			restarted = true
		}
	}
	w.t.Logf("%d kills, %d of them while orders came in, %d joins of a second instance, broker restarted: %v", killed, inWork, joined, restart)
}

func (w *world) restartBroker() {
	w.t.Helper()
	if err := w.c.Node(1).Stop(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.c.Node(1).Start(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.c.WaitReady(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func envInt(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

// envDuration is 0 where nothing is set.
func envDuration(t *testing.T, name string) time.Duration {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// input writes what the applications read, and remembers it.
type input struct {
	t    *testing.T
	cl   *kgo.Client
	sent atomic.Int64
}

// newInput keeps what its client says of tries that failed beside the other logs (go test -artifacts).
func newInput(t *testing.T, c *kafkatest.Cluster) *input {
	log, err := os.Create(filepath.Join(t.ArtifactDir(), "input.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() }) // behind the client
	now := func() string { return time.Now().Format(stamp + " ") }
	return &input{t: t, cl: c.Client(t, kgo.ProducerLinger(5*time.Millisecond), kgo.WithLogger(kgo.BasicLogger(log, kgo.LogLevelInfo, now)))}
}

func customerID(i int) string { return fmt.Sprintf("c%05d", i) }

// customer is a customer's row, of a name that none of his other rows has.
func (in *input) customer(i, version int) *kgo.Record {
	v := fmt.Sprintf(`{"id":%q,"name":"v%d","email":"%s@example.com","city":"city%d"}`, customerID(i), version, customerID(i), (i+version)%cities)
	return &kgo.Record{Topic: "customers", Key: []byte(customerID(i)), Value: []byte(v)}
}

func (in *input) seedCustomers() {
	var rs []*kgo.Record
	for i := range customers {
		rs = append(rs, in.customer(i, 0))
	}
	if err := in.cl.ProduceSync(in.t.Context(), rs...).FirstErr(); err != nil {
		in.t.Fatal(err)
	}
}

// feed writes n orders, about as long as it is told, so that there is work in hand
// whenever something is killed; and a customer's change now and then.
func (in *input) feed(n int, during time.Duration) error {
	const pause = 10 * time.Millisecond
	batch := max(1, int(time.Duration(n)*pause/during))
	rng := rand.New(rand.NewPCG(99, 99))
	ctx := context.Background()
	for sent := 0; sent < n; {
		var rs []*kgo.Record
		for range min(batch, n-sent) {
			v := fmt.Sprintf(`{"orderId":"o%07d","customerId":%q,"sku":"s","quantity":1,"cents":100}`, sent, customerID(rng.IntN(customers)))
			rs = append(rs, &kgo.Record{Topic: "orders", Key: fmt.Appendf(nil, "o%07d", sent), Value: []byte(v)})
			sent++
		}
		rs = append(rs, in.customer(rng.IntN(customers), sent))
		if err := in.cl.ProduceSync(ctx, rs...).FirstErr(); err != nil {
			return err
		}
		in.sent.Store(int64(sent))
		time.Sleep(pause)
	}
	return nil
}

// app is an application of one or two instances.
type app struct {
	t    *testing.T
	bin  string
	args []string
	env  []string
	root string
	proc [2]*exec.Cmd
	logs [2]*bytes.Buffer
}

func newApp(t *testing.T, c *kafkatest.Cluster, pkg string, args ...string) *app {
	t.Helper()
	a := &app{t: t, bin: build(t, pkg), root: t.TempDir(), args: append(args, "--brokers", strings.Join(c.Brokers(), ","))}
	t.Cleanup(func() {
		for i := range a.proc {
			if a.proc[i] != nil {
				_ = a.proc[i].Process.Kill()
				_ = a.proc[i].Wait()
			}
		}
		if t.Failed() {
			for i, l := range a.logs {
				if l != nil {
					t.Logf("%s, instance %d:\n%s", pkg, i, lastOf(l.String(), 12000))
				}
			}
		}
	})
	return a
}

func (a *app) dir(i int) string { return filepath.Join(a.root, fmt.Sprint("state", i)) }

func (a *app) start(i int) {
	a.t.Helper()
	if a.logs[i] == nil {
		a.logs[i] = new(bytes.Buffer)
	}
	fmt.Fprintf(a.logs[i], "--- start %s\n", time.Now().Format(time.TimeOnly))
	a.proc[i] = exec.Command(a.bin, append(a.args, "--state-dir", a.dir(i))...)
	a.proc[i].Stderr, a.proc[i].Env = a.logs[i], append(os.Environ(), a.env...)
	a.proc[i].SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.proc[i].Start(); err != nil {
		a.t.Fatal(err)
	}
}

// kill ends an instance with -9. That it has ended by itself before is a failure.
func (a *app) kill(i int) {
	a.t.Helper()
	if err := a.proc[i].Process.Kill(); err != nil {
		a.t.Fatalf("%v was not running any more: %v", a.args, err)
	}
	if err := a.proc[i].Wait(); err == nil || a.proc[i].ProcessState.ExitCode() != -1 {
		a.t.Fatalf("%v had ended by itself: %v", a.args, a.proc[i].ProcessState)
	}
	a.proc[i] = nil
}

// stop ends an instance with SIGTERM; it must leave in good order.
func (a *app) stop(i int) {
	a.t.Helper()
	if err := a.proc[i].Process.Signal(syscall.SIGTERM); err != nil {
		a.t.Fatal(err)
	}
	if err := a.proc[i].Wait(); err != nil {
		a.t.Fatalf("%v: after SIGTERM: %v", a.args, err)
	}
	a.proc[i] = nil
}

// noWipe fails where a crash has cost the local state.
func (a *app) noWipe() {
	for i, l := range a.logs {
		if l != nil && strings.Contains(l.String(), "local state is dropped") {
			a.t.Errorf("%v, instance %d: local state was dropped", a.args, i)
		}
	}
}
