package kafkatest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

// Also in a helper process, whose brokers die with it.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func TestVerdict(t *testing.T) {
	nothing := func() []string { return nil }
	something := func() []string { return []string{"java", "mvn"} }
	for _, tc := range []struct {
		name         string
		use, require string
		short        bool
		missing      func() []string
		skip, fail   string // part of the reason; both empty: the test runs
	}{
		{name: "by default nothing is even looked for", missing: func() []string { panic("looked") }, skip: "set LIMPET_KAFKA=1"},
		{name: "use", use: "1", missing: nothing},
		{name: "use, short", use: "1", short: true, missing: nothing, skip: "-short"},
		{name: "use, missing", use: "1", missing: something, skip: "missing: java; mvn"},
		{name: "require", require: "1", missing: nothing},
		{name: "require wins over short", require: "1", short: true, missing: nothing},
		{name: "require, missing", require: "1", missing: something, fail: "missing: java; mvn"},
		{name: "both, missing", use: "1", require: "1", missing: something, fail: "missing: java; mvn"},
		{name: "0 is off", use: "0", require: "0", missing: nothing, skip: "set LIMPET_KAFKA=1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := map[string]string{envUse: tc.use, envRequire: tc.require}
			skip, err := verdict(func(k string) string { return env[k] }, tc.short, tc.missing)
			fail := ""
			if err != nil {
				fail = err.Error()
			}
			for _, c := range []struct{ what, got, want string }{{"skip", skip, tc.skip}, {"fail", fail, tc.fail}} {
				if (c.got == "") != (c.want == "") || !strings.Contains(c.got, c.want) {
					t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
				}
			}
		})
	}
}

// The commands: properties nodes=N id=N doors=N security=P [mechanisms=(A,B)] [clientcert] [set=(k,v)].
func TestConfig(t *testing.T) {
	datadriven.RunTest(t, "testdata/config.txt", func(t *testing.T, d *datadriven.TestData) string {
		var cfg Config
		id := 1
		d.MaybeScanArgs(t, "nodes", &cfg.Nodes)
		d.MaybeScanArgs(t, "port", &cfg.Port)
		d.MaybeScanArgs(t, "doors", &cfg.Doors)
		d.MaybeScanArgs(t, "id", &id)
		d.MaybeScanArgs(t, "security", (*string)(&cfg.Security.Protocol))
		cfg.Security.ClientCert = d.HasArg("clientcert")
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "mechanisms":
				for _, m := range a.Vals {
					cfg.Security.Mechanisms = append(cfg.Security.Mechanisms, Mechanism(m))
				}
			case "set":
				cfg.Properties = map[string]string{a.Vals[0]: a.Vals[1]}
			}
		}
		if err := cfg.Validate(); err != nil {
			return err.Error() + "\n"
		}
		cfg = cfg.withDefaults()
		var doors []door
		for i := range cfg.Doors {
			doors = append(doors, door{fmt.Sprint("listener", i), fmt.Sprint("proxy", i)})
		}
		out := cfg.properties(20001, id, doors)
		if args := cfg.Security.formatArgs(); len(args) > 0 {
			out += "format " + strings.Join(args, " ") + "\n"
		}
		return out
	})
}

func TestClaimPorts(t *testing.T) {
	seen := make(map[int]bool)
	for range 20 {
		claim, first, err := claimPorts()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = claim.Close() }()
		if seen[first] {
			t.Fatalf("block at %d given out twice", first)
		}
		seen[first] = true
		if first <= portsFrom || first+blockSize > portsTo+1 {
			t.Errorf("block at %d is out of range", first)
		}
		if !allFree(first, blockSize-1) {
			t.Errorf("block at %d is not free", first)
		}
		if _, err := listen(first - 1); err == nil {
			t.Errorf("block at %d is not held", first)
		}
	}
}

func TestCA(t *testing.T) {
	dir := t.TempDir()
	ca, err := NewCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Issue("server")
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	strange, err := stranger.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	config := func(ca *CA, certs ...Cert) *tls.Config {
		c, err := ca.TLSConfig(certs...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	serve := config(ca, server)
	serve.ClientCAs, serve.ClientAuth = serve.RootCAs, tls.RequireAndVerifyClientCert

	shake := func(c *tls.Config) error {
		here, there := net.Pipe()
		s := tls.Server(there, serve)
		errs := make(chan error)
		go func() { errs <- errors.Join(s.Handshake(), there.Close()) }()
		c.ServerName = "127.0.0.1"
		client := tls.Client(here, c)
		err := client.Handshake()
		if err == nil {
			_, err = client.Read(make([]byte, 1)) // a server's refusal comes after the handshake
		}
		_ = here.Close()
		if serr := <-errs; serr != nil {
			return serr
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		return err
	}
	if err := shake(config(ca, client)); err != nil {
		t.Errorf("good client: %v", err)
	}
	if err := shake(config(ca)); err == nil {
		t.Error("a client without a certificate came in")
	}
	if err := shake(config(ca, strange)); err == nil {
		t.Error("a stranger's certificate came in")
	}
	if err := shake(config(stranger, client)); err == nil {
		t.Error("a client trusts a CA that it does not know")
	}
	if err := ca.issueStore("broker", brokerStore); err != nil {
		t.Fatal(err)
	}
	store, err := os.ReadFile(filepath.Join(dir, brokerStore))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if strings.Count(string(store), "BEGIN CERTIFICATE") != 2 || !strings.HasPrefix(string(store), "-----BEGIN PRIVATE KEY") || !pool.AppendCertsFromPEM(store) {
		t.Errorf("a PEM store is a PKCS#8 key and two certificates, have:\n%s", store)
	}
}

// fakeTools puts a java and an mvn in the PATH's only folder: shell scripts.
func fakeTools(t *testing.T, java, mvn string) (bin string) {
	t.Helper()
	if !canSignal {
		t.Skip("needs a Unix shell")
	}
	bin = t.TempDir()
	for name, script := range map[string]string{"java": java, "mvn": mvn} {
		if script != "" {
			if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\nPATH="+os.Getenv("PATH")+"\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", bin)
	t.Setenv("JAVA_HOME", "")
	return bin
}

const (
	java17 = `if [ "$1" = -version ]; then echo 'openjdk version "17.0.9" 2023-10-17' >&2; exit 0; fi; exit 1`
	// mvnWorks notes each call and makes the jar that download looks for.
	mvnWorks = `echo . >> "$(dirname "$0")/calls"; for a in "$@"; do case $a in -DoutputDirectory=*) d=${a#*=};; esac; done
sleep 0.2; mkdir -p "$d"; touch "$d/kafka-server-1.jar"`
)

func TestFetchOnce(t *testing.T) {
	bin := fakeTools(t, java17, mvnWorks)
	t.Setenv(envCache, filepath.Join(t.TempDir(), "a", "cache"))
	fetchAll := func() string {
		t.Helper()
		var wg sync.WaitGroup
		dirs := make([]string, 8)
		for i := range dirs {
			wg.Go(func() {
				var err error
				if dirs[i], err = Fetch(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, d := range dirs {
			if d != dirs[0] {
				t.Errorf("fetched into %v", dirs)
			}
		}
		return dirs[0]
	}
	calls := func() int {
		b, err := os.ReadFile(filepath.Join(bin, "calls"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "\n")
	}
	dir := fetchAll()
	if n := calls(); n != 1 {
		t.Errorf("eight at once called mvn %d times", n)
	}
	if fetchAll(); calls() != 1 {
		t.Error("what was there was fetched again")
	}
	if _, err := os.Stat(filepath.Join(dir, "classes-17.0.9.jsa.failed")); err != nil {
		t.Errorf("a Java that cannot make an archive is not remembered: %v", err)
	}
	// Another version of this package left other jars.
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte("<project/>"), 0o644); err != nil {
		t.Fatal(err)
	}
	if fetchAll(); calls() != 2 {
		t.Errorf("another pom's jars were taken for this one's")
	}
	noLeftovers(t, filepath.Dir(dir))
}

func TestFetchFails(t *testing.T) {
	for _, tc := range []struct{ name, java, mvn, want string }{
		{"no java", "", mvnWorks, "java 17 or newer"},
		{"old java", `echo 'java version "1.8.0_392"' >&2`, mvnWorks, "is 1.8.0_392"},
		{"odd java", `echo 'hello'`, mvnWorks, `says "hello\n"`},
		{"no mvn", java17, "", "to fetch them"},
		{"mvn fails", java17, mvnWorks + "\necho 'no route to host'; exit 1", "no route to host"},
		{"mvn does nothing", java17, "exit 0", "no kafka-server jar"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fakeTools(t, tc.java, tc.mvn)
			cache := t.TempDir()
			t.Setenv(envCache, cache)
			_, err := Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if dir, _ := cacheDir(); whole(dir) {
				t.Error("the cache looks whole")
			}
			noLeftovers(t, cache)
		})
	}
}

func noLeftovers(t *testing.T, cache string) {
	t.Helper()
	for _, pattern := range []string{"fetching-*", "kafka-*/archiving-*"} {
		if left, _ := filepath.Glob(filepath.Join(cache, pattern)); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
}

// TestNode walks the states with a process that is no Kafka.
func TestNode(t *testing.T) {
	fakeTools(t, `case "$*" in *kafka.Kafka*) trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.01; done;; esac; exit 1`, "")
	t.Setenv(envCache, t.TempDir())
	path := filepath.Join(os.Getenv("PATH"), "java")
	n := &Node{id: 7, dir: t.TempDir(), dist: dist{java: java{path: path}}}
	t.Cleanup(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if err := n.kill(); err != nil {
			t.Error(err)
		}
	})
	do := func(what string, f func() error, want string) {
		t.Helper()
		err := f()
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", what, got, want)
		}
	}
	serves := func(want bool) {
		t.Helper()
		if got, err := n.serves(); got != want || err != nil {
			t.Errorf("serves: %v, %v, want %v", got, err, want)
		}
	}
	hello := func(times int) {
		t.Helper()
		for range 1000 {
			if log, _ := os.ReadFile(n.Log()); strings.Count(string(log), "hello") == times {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("not started %d times; %s", times, n.logTail())
	}
	for _, f := range []func() error{n.Kill, n.Stop, n.Pause, n.Resume} {
		do("down", f, "node 7")
	}
	serves(false)
	do("start", n.Start, "")
	hello(1)
	serves(true)
	do("start again", n.Start, "it runs")
	do("resume", n.Resume, "not paused")
	do("pause", n.Pause, "")
	serves(false)
	do("pause again", n.Pause, "it is paused")
	do("resume", n.Resume, "")
	serves(true)
	do("kill", n.Kill, "")
	if n.PID() != 0 {
		t.Error("a killed node has a pid")
	}
	do("start", n.Start, "")
	hello(2)
	do("pause", n.Pause, "")
	do("kill, paused", n.Kill, "")
	do("start", n.Start, "")
	hello(3)
	do("pause", n.Pause, "")
	do("stop, paused", n.Stop, "")
	if log := n.logTail(); !strings.HasSuffix(log, "bye") {
		t.Errorf("the log does not end with the process's last word: %s", log)
	}
	// It ends on its own.
	do("start", n.Start, "")
	hello(4)
	if err := n.proc.cmd.Process.Signal(sigTerm); err != nil {
		t.Fatal(err)
	}
	<-n.proc.done
	do("pause", n.Pause, "on its own")
	if _, err := n.serves(); err == nil {
		t.Error("a node that ended on its own is not an error")
	}
	do("start", n.Start, "")
	hello(5)
}

func TestComplete(t *testing.T) {
	topic := "t"
	response := func(brokers []int32, leader int32, isr ...int32) *kmsg.MetadataResponse {
		m := &kmsg.MetadataResponse{}
		for _, b := range brokers {
			m.Brokers = append(m.Brokers, kmsg.MetadataResponseBroker{NodeID: b})
		}
		m.Topics = []kmsg.MetadataResponseTopic{{Topic: &topic, Partitions: []kmsg.MetadataResponseTopicPartition{
			{Leader: leader, Replicas: []int32{1, 2, 3}, ISR: isr},
		}}}
		return m
	}
	for _, tc := range []struct {
		name    string
		m       *kmsg.MetadataResponse
		running []int32
		want    string
	}{
		{"all there", response([]int32{3, 1, 2}, 2, 1, 2, 3), []int32{1, 2, 3}, ""},
		{"one not registered", response([]int32{1, 2}, 2, 1, 2, 3), []int32{1, 2, 3}, "brokers [1 2], want [1 2 3]"},
		{"one behind", response([]int32{1, 2, 3}, 2, 1, 2), []int32{1, 2, 3}, "ISR [1 2]"},
		{"one dead, not noticed", response([]int32{1, 2, 3}, 2, 1, 2, 3), []int32{1, 2}, "brokers [1 2 3], want [1 2]"},
		{"one dead, noticed", response([]int32{1, 2}, 2, 1, 2), []int32{1, 2}, ""},
		{"no leader", response([]int32{1, 2, 3}, -1, 1, 2, 3), []int32{1, 2, 3}, "leader -1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if err := complete(tc.m, tc.running); err != nil {
				got = err.Error()
			}
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
