package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
)

// TestMain makes the test binary the processor, when it is called so: by scripts, and by
// the demo, which starts its worker as a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){"processor": main})
}

// leakless sees that no test leaves a goroutine behind.
type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Condition: func(cond string) (bool, error) {
			if cond == "crashable" {
				return runtime.GOOS != "windows", nil
			}
			return false, fmt.Errorf("no condition %q", cond)
		},
	})
}

// here runs the program in this process.
func here(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = program().Run(t.Context(), args, cli.IO{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// there makes a process of the program.
func there(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Args = append([]string{"processor"}, args...)
	return cmd
}

func cluster(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, string) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, c.ListenAddrs()[0]
}

func TestUnreachable(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a broker for some seconds")
	}
	t.Parallel()
	code, _, errs := here(t, "run", "email-service", "--brokers", "127.0.0.1:1", "--store", "memory")
	if code != 4 || !strings.Contains(errs, "127.0.0.1:1") {
		t.Errorf("got %d: %s", code, errs)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	_, addr := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", "right"), kfake.Superuser("SCRAM-SHA-512", "me", "right"))
	run := func(t *testing.T, mechanism, password string) (int, string) {
		code, out, errs := here(t, "run", "email-service", "--brokers", addr, "--store", "memory", "--log-level", "debug",
			"--sasl-mechanism", mechanism, "--sasl-username", "me", "--sasl-password", password)
		if strings.Contains(out+errs, password) {
			t.Errorf("%s: printed the password: %s", mechanism, errs)
		}
		return code, errs
	}
	for _, mechanism := range []string{"plain", "scram-sha-512"} {
		// The right one is let in, and finds no topics.
		if code, errs := run(t, mechanism, "right"); code != 3 || !strings.Contains(errs, "orders") || !strings.Contains(errs, "does not exist") {
			t.Errorf("%s: got %d: %s", mechanism, code, errs)
		}
		t.Run(mechanism, func(t *testing.T) {
			if testing.Short() {
				t.Skip("kfake closes the connection, which could be a broker that starts: takes some seconds")
			}
			t.Parallel()
			if code, errs := run(t, mechanism, "hunter2"); code != 4 {
				t.Errorf("got %d: %s", code, errs)
			}
		})
	}
}

func TestOtherSettings(t *testing.T) {
	t.Parallel()
	c, addr := cluster(t, kfake.SeedTopics(2, "orders", "emails", "customers"))
	code, _, errs := here(t, "run", "email-service", "--brokers", addr, "--store", "memory")
	if code != 3 || !strings.Contains(errs, "customers") || !strings.Contains(errs, "cleanup.policy") {
		t.Errorf("a table's topic that is not compacted: got %d: %s", code, errs)
	}
	if err := c.DeleteTopic("customers"); err != nil {
		t.Fatal(err)
	}
	compact := "compact"
	if err := c.CreateTopic("customers", 2, map[string]string{"cleanup.policy": compact}); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("email-service-by-customer-repartition", 3, nil); err != nil {
		t.Fatal(err)
	}
	code, _, errs = here(t, "run", "email-service", "--brokers", addr, "--store", "memory")
	if code != 3 || !strings.Contains(errs, "has 3 partitions and needs 2") {
		t.Errorf("a repartition topic of other partitions: got %d: %s", code, errs)
	}
}

// TestSignals: the first ends run in good order, with everything committed; the second
// ends it at once.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	t.Parallel()
	c, addr := cluster(t, kfake.SeedTopics(2, "orders", "emails"))
	if err := c.CreateTopic("customers", 2, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	start := func() (*exec.Cmd, *bytes.Buffer, func() error) {
		cmd := there(t, "run", "email-service", "--brokers", addr, "--state-dir", filepath.Join(t.TempDir(), "state"))
		pipe, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		lines := bufio.NewScanner(pipe)
		for running := 0; running < 4 && lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "task runs") {
				running++
			}
		}
		return cmd, &log, func() error {
			for lines.Scan() {
				log.WriteString(lines.Text() + "\n")
			}
			return cmd.Wait()
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, log, wait := start()
		began := time.Now()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if err := wait(); err != nil || !strings.Contains(log.String(), "msg=stopped") || time.Since(began) > 10*time.Second {
			t.Errorf("%v: %v after %v\n%s", s, err, time.Since(began), log)
		}
	}
	cmd, log, wait := start()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	if _ = wait(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(log.String(), "aborted") {
		t.Errorf("two signals: %v\n%s", cmd.ProcessState, log)
	}
}

// An audit that misses a record ends its demo with 1, each of them.
func TestAuditsMissARecord(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for seconds")
	}
	t.Parallel()
	for _, d := range program().Demos {
		t.Run(d.Name, func(t *testing.T) {
			var o, e bytes.Buffer
			args := []string{"demo", d.Name, "--for", "500ms", "--rate", "100"}
			code := program().Run(demo.Losing(t.Context()), args, cli.IO{In: strings.NewReader(""), Out: &o, Err: &e})
			lines := strings.Split(strings.TrimSpace(o.String()), "\n")
			if code != 1 || !faults.MatchString(lines[len(lines)-1]) || !strings.Contains(e.String(), demo.ErrAudit.Error()) {
				t.Errorf("got %d: %s\n%s", code, lines[len(lines)-1], e.String())
			}
		})
	}
}

// faults is a line of an audit that has counted something that must not be.
var faults = regexp.MustCompile(` (missing|diverged|mails_wrong)=[1-9]`)

// TestAuditIsComputed spoils the log between two runs of the demo.
func TestAuditIsComputed(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	demo := func() (int, string) {
		code, out, errs := here(t, "demo", "--for", "500ms", "--rate", "200", "--data-dir", dir)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		return code, lines[len(lines)-1] + "\n" + errs
	}
	if code, out := demo(); code != 0 {
		t.Fatalf("got %d: %s", code, out)
	}
	spoil(t, dir, func(_ *kfake.Cluster, cl *kgo.Client) {
		email := records(t, cl, 1)[0]
		again := &kgo.Record{Topic: "emails", Key: email.Key, Value: email.Value, Timestamp: email.Timestamp}
		stray := &kgo.Record{Topic: "emails", Key: email.Key, Value: bytes.Replace(email.Value, []byte(`"orderId":"order-`), []byte(`"orderId":"order-X`), 1)}
		if err := cl.ProduceSync(t.Context(), again, stray).FirstErr(); err != nil {
			t.Fatal(err)
		}
	})
	if code, out := demo(); code != 1 || !strings.Contains(out, "missing=0 duplicated=1 out_of_order=0 wrong=1") {
		t.Fatalf("an email doubled, and one of nothing: got %d: %s", code, out)
	}
	spoil(t, dir, func(c *kfake.Cluster, cl *kgo.Client) {
		second := records(t, cl, 2)[1]
		if err := c.DeleteRecords("emails", second.Partition, second.Offset+1); err != nil {
			t.Fatal(err)
		}
	})
	if code, out := demo(); code != 1 || !strings.Contains(out, "missing=1 duplicated=0") {
		t.Fatalf("one of the two taken away, and another one: got %d: %s", code, out)
	}
}

// spoil opens the log of a demo.
func spoil(t *testing.T, dir string, f func(*kfake.Cluster, *kgo.Client)) {
	t.Helper()
	c, addr := cluster(t, kfake.DataDir(filepath.Join(dir, "log")))
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"emails": {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	f(c, cl)
	cl.Close()
	c.Close()
}

// records are the first records of partition 0.
func records(t *testing.T, cl *kgo.Client, n int) (rs []*kgo.Record) {
	t.Helper()
	for len(rs) < n {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, fetches.Records()...)
	}
	return rs
}
