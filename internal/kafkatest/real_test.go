//go:build unix

package kafkatest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const opMax = 30 * time.Second

// produce writes n records to topic, acknowledged by all in the ISR.
func produce(t *testing.T, c *Cluster, topic string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), opMax)
	defer cancel()
	var rs []*kgo.Record
	for i := range n {
		rs = append(rs, &kgo.Record{Topic: topic, Key: []byte(strconv.Itoa(i)), Value: []byte("v")})
	}
	if err := c.Client(t).ProduceSync(ctx, rs...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

// consume reads n records of topic from its beginning.
func consume(t *testing.T, c *Cluster, topic string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), opMax)
	defer cancel()
	cl := c.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for got := 0; got < n; {
		fs := cl.PollFetches(ctx)
		if err := errors.Join(fs.Err(), ctx.Err()); err != nil {
			t.Fatalf("consume: %d of %d: %v", got, n, err)
		}
		got += fs.NumRecords()
	}
}

func ready(t *testing.T, c *Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), opMax)
	defer cancel()
	began := time.Now()
	if err := c.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRealKafkaOneNode(t *testing.T) {
	t.Parallel()
	c := Start(t, Config{})
	n := c.Node(1)
	c.CreateTopic(t, "a", 2, map[string]string{"cleanup.policy": "compact"})
	produce(t, c, "a", 10)
	consume(t, c, "a", 10)

	if err := c.createTopic(t.Context(), "a", 1, nil); err == nil || !strings.Contains(err.Error(), "TOPIC_ALREADY_EXISTS") {
		t.Errorf("the same topic again: %v", err)
	}
	if err := c.createTopic(t.Context(), "b", 1, map[string]string{"cleanup.policy": "no"}); err == nil || !strings.Contains(err.Error(), "INVALID_CONFIG") {
		t.Errorf("a config that Kafka refuses: %v", err)
	}

	// A kill loses nothing that was acknowledged; address and data stay.
	must(t, n.Kill())
	if err := c.WaitReady(t.Context()); err == nil {
		t.Error("ready with no node running")
	}
	must(t, n.Start())
	ready(t, c)
	consume(t, c, "a", 10)

	must(t, n.Stop())
	must(t, n.Start())
	ready(t, c)
	produce(t, c, "a", 10)
	consume(t, c, "a", 20)

	// A paused node is silent, and goes on where it was.
	must(t, n.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.Client(t, kgo.RequestTimeoutOverhead(time.Second)).Ping(ctx); err == nil {
		t.Error("a paused node answers")
	}
	must(t, n.Resume())
	ready(t, c)
	consume(t, c, "a", 20)
}

func TestRealKafkaTransaction(t *testing.T) {
	t.Parallel()
	c := Start(t, Config{Properties: map[string]string{"group.min.session.timeout.ms": "500"}})
	c.CreateTopic(t, "a", 1, nil)
	ctx, cancel := context.WithTimeout(t.Context(), opMax)
	defer cancel()
	cl := c.Client(t, kgo.TransactionalID("x"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		must(t, cl.BeginTransaction())
		must(t, cl.ProduceSync(ctx, &kgo.Record{Topic: "a", Value: fmt.Append(nil, bool(end))}).FirstErr())
		must(t, cl.EndTransaction(ctx, end))
	}
	r := c.Client(t, kgo.ConsumeTopics("a"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumerGroup("g"), kgo.SessionTimeout(600*time.Millisecond), kgo.HeartbeatInterval(100*time.Millisecond))
	var rs []*kgo.Record
	for len(rs) == 0 && ctx.Err() == nil { // a coordinator that is still loading is told as an error, and retried
		fs := r.PollRecords(ctx, 10)
		fs.EachError(func(_ string, _ int32, err error) { t.Log(err) })
		rs = fs.Records()
	}
	if len(rs) != 1 || string(rs[0].Value) != "true" {
		t.Errorf("%d records committed, want the one of the second transaction", len(rs))
	}
}

func TestRealKafkaThreeNodes(t *testing.T) {
	t.Parallel()
	c := Start(t, Config{Nodes: 3, Properties: map[string]string{"broker.session.timeout.ms": "4000", "broker.heartbeat.interval.ms": "500"}})
	if len(c.Brokers()) != 3 {
		t.Fatalf("brokers: %v", c.Brokers())
	}
	c.CreateTopic(t, "a", 3, nil)
	produce(t, c, "a", 30)

	must(t, c.Node(2).Kill())
	ready(t, c) // the others have noticed
	produce(t, c, "a", 30)
	consume(t, c, "a", 60)

	must(t, c.Node(2).Start())
	ready(t, c) // full ISR again
	must(t, c.Node(1).Stop())
	must(t, c.Node(3).Pause())
	must(t, c.Node(3).Resume())
	must(t, c.Node(1).Start())
	ready(t, c)
	consume(t, c, "a", 60)
}

func TestRealKafkaKeepsDir(t *testing.T) {
	t.Parallel()
	Require(t)
	dir := t.TempDir()
	first := ""
	for run := range 2 {
		c, err := Open(t.Context(), Config{Dir: dir})
		must(t, err)
		if run == 0 {
			c.CreateTopic(t, "a", 1, nil)
			produce(t, c, "a", 5)
			first = c.Node(1).Addr()
		} else if consume(t, c, "a", 5); c.Node(1).Addr() == "" {
			t.Errorf("no address (the first was %s)", first)
		}
		must(t, c.Close())
	}
}

func TestRealKafkaFailsToStart(t *testing.T) {
	t.Parallel()
	Require(t)
	began := time.Now()
	_, err := Open(t.Context(), Config{Properties: map[string]string{"num.io.threads": "0"}})
	if err == nil || !strings.Contains(err.Error(), "num.io.threads") {
		t.Errorf("a broker that cannot start: %v", err)
	}
	if took := time.Since(began); took > startMax/2 {
		t.Errorf("it was waited for all the same, %s", took)
	}
}

func TestRealKafkaSecurity(t *testing.T) {
	t.Parallel()
	Require(t)
	stranger, err := NewCA(t.TempDir())
	must(t, err)
	strange, err := stranger.Issue("client")
	must(t, err)

	all := []Mechanism{ScramSHA256, ScramSHA512, Plain}
	with := func(m Mechanism, pass string) kgo.Opt {
		var s sasl.Mechanism
		switch m {
		case ScramSHA256:
			s = scram.Auth{User: User, Pass: pass}.AsSha256Mechanism()
		case ScramSHA512:
			s = scram.Auth{User: User, Pass: pass}.AsSha512Mechanism()
		default:
			s = plain.Auth{User: User, Pass: pass}.AsMechanism()
		}
		return kgo.SASL(s)
	}
	for _, sec := range []Security{
		{Protocol: SASLPlaintext},
		{Protocol: SSL},
		{Protocol: SSL, ClientCert: true},
		{Protocol: SASLSSL, ClientCert: true, Mechanisms: []Mechanism{ScramSHA512}},
	} {
		t.Run(fmt.Sprintf("%s%v,cert=%v", sec.Protocol, sec.Mechanisms, sec.ClientCert), func(t *testing.T) {
			t.Parallel()
			c := Start(t, Config{Security: sec})
			c.CreateTopic(t, "a", 1, nil)
			produce(t, c, "a", 3)
			consume(t, c, "a", 3)

			tlsOpt := func(ca *CA, certs ...Cert) kgo.Opt {
				cfg, err := ca.TLSConfig(certs...)
				must(t, err)
				return kgo.DialTLSConfig(cfg)
			}
			try := func(name string, in bool, opts ...kgo.Opt) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), opMax)
				if !in {
					ctx, cancel = context.WithTimeout(t.Context(), 1500*time.Millisecond)
				}
				defer cancel()
				cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.Brokers()...))...)
				must(t, err)
				defer cl.Close()
				if err := cl.Ping(ctx); (err == nil) != in {
					t.Errorf("%s: %v, want to come in: %v", name, err, in)
				}
			}
			var base []kgo.Opt // what it takes apart from SASL
			if sec.tls() {
				base = append(base, tlsOpt(c.CA(), c.ClientCert()))
			}
			if sec.sasl() {
				accepted := fmt.Sprint(c.cfg.Security.Mechanisms)
				for _, m := range all {
					try(string(m), strings.Contains(accepted, string(m)), append(base, with(m, Password))...)
					try(string(m)+", wrong password", false, append(base, with(m, "x"))...)
				}
				try("no SASL", false, base...)
				base = append(base, with(c.cfg.Security.Mechanisms[0], Password))
			}
			if sec.tls() {
				try("no TLS", false, base[1:]...)
				try("another CA", false, append([]kgo.Opt{tlsOpt(stranger, c.ClientCert())}, base[1:]...)...)
				try("no certificate", !sec.ClientCert, append([]kgo.Opt{tlsOpt(c.CA())}, base[1:]...)...)
				try("a stranger's certificate", !sec.ClientCert, append([]kgo.Opt{tlsOpt(c.CA(), strange)}, base[1:]...)...)
			}
		})
	}
}

// envHelper makes this test binary a test process that comes to an end: "killed" or "fails".
const envHelper = "LIMPET_KAFKATEST_HELPER"

// TestHelperProcess is not named TestRealKafka..., so nothing but TestRealKafkaEnds runs it.
func TestHelperProcess(t *testing.T) {
	end := os.Getenv(envHelper)
	if end == "" {
		t.Skip("the other half of TestRealKafkaEnds")
	}
	c := Start(t, Config{Nodes: 1})
	fmt.Println("pid", c.Node(1).PID())
	if end == "fails" {
		f, err := os.OpenFile(c.Node(1).Log(), os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString("the broker's last word\n")
		must(t, errors.Join(err, f.Close()))
		t.Fatal("it fails")
	}
	time.Sleep(time.Minute)
}

// TestRealKafkaEnds: however a test process ends, its brokers end.
func TestRealKafkaEnds(t *testing.T) {
	t.Parallel()
	Require(t)
	for _, end := range []string{"killed", "fails"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperProcess$", "-test.v")
			cmd.Env = append(os.Environ(), envHelper+"="+end, "TMPDIR="+t.TempDir())
			pipe, err := cmd.StdoutPipe()
			must(t, err)
			cmd.Stderr = os.Stderr
			must(t, cmd.Start())
			pid, out := 0, ""
			for lines := bufio.NewScanner(pipe); lines.Scan(); {
				out += lines.Text() + "\n"
				if _, err := fmt.Sscanf(lines.Text(), "pid %d", &pid); err == nil && end == "killed" {
					must(t, cmd.Process.Kill())
				}
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the helper did not fail")
			}
			if pid == 0 {
				t.Fatalf("no broker was started:\n%s", out)
			}
			if end == "fails" && !strings.Contains(out, "the broker's last word") {
				t.Errorf("a failed test does not show the broker's log:\n%s", out)
			}
			for began := time.Now(); syscall.Kill(pid, 0) == nil; time.Sleep(20 * time.Millisecond) {
				if time.Since(began) > 10*time.Second {
					t.Fatalf("the broker, pid %d, is still there", pid)
				}
			}
		})
	}
}
