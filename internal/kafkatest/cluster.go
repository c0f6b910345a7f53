package kafkatest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	propertiesFile = "server.properties"

	startMax = 90 * time.Second // 2-5 s on an idle machine
	fetchMax = 8 * time.Minute  // go test gives a package 10
)

// Cluster is a running Kafka.
type Cluster struct {
	cfg   Config
	nodes []*Node
	keep  bool           // the caller named the folder, so its data matters
	temp  string         // a folder to remove at the end
	ports []net.Listener // hold the blocks of ports that were not given
	doors [][]*Proxy     // by door and node

	ca     *CA // nil without TLS
	client Cert
	tls    *tls.Config // a good client's
}

// Start starts a cluster for t, waits until it serves, and ends it with t.
func Start(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	Require(t)
	d, err := func() (dist, error) {
		ctx, cancel := context.WithTimeout(t.Context(), fetchMax)
		defer cancel()
		return fetch(ctx)
	}()
	if err != nil {
		t.Fatal(err)
	}
	keep := cfg.Dir != ""
	if !keep {
		if cfg.Dir, err = testDir(t); err != nil {
			t.Fatal(err)
		}
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startMax)
	defer cancel()
	c, err := open(ctx, d, cfg.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	c.keep = keep
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.logTails())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// testDir is a folder for the data of t's cluster. It goes with t; but where envKeep names a
// folder and t fails, it stays there.
func testDir(t testing.TB) (string, error) {
	parent := os.Getenv(envKeep)
	if parent == "" {
		return t.TempDir(), nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("kafkatest: %s: %w", envKeep, err)
	}
	dir, err := os.MkdirTemp(parent, strings.ReplaceAll(t.Name(), "/", "-")+"-*") //nolint:usetesting // it outlives the test
	if err != nil {
		return "", fmt.Errorf("kafkatest: %s: %w", envKeep, err)
	}
	t.Cleanup(func() { // behind the one that ends the nodes
		if t.Failed() {
			t.Logf("kafkatest: logs and data are kept in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir, nil
}

// Open is Start without a test: fetch, start, wait. The caller closes the cluster.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d, err := fetch(ctx)
	if err != nil {
		return nil, err
	}
	temp := ""
	if cfg.Dir == "" {
		if temp, err = os.MkdirTemp("", "limpet-kafka-*"); err != nil {
			return nil, fmt.Errorf("kafkatest: %w", err)
		}
		cfg.Dir = temp
	}
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	c, err := open(ctx, d, cfg.withDefaults())
	if err != nil {
		if temp != "" {
			_ = os.RemoveAll(temp)
		}
		return nil, err
	}
	c.keep, c.temp = temp == "", temp
	return c, nil
}

// open starts the cluster in cfg.Dir. cfg has its defaults and is valid.
func open(ctx context.Context, d dist, cfg Config) (_ *Cluster, err error) {
	c := &Cluster{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w\n%s", err, c.logTails()), c.Close())
		}
	}()
	if c.cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, fmt.Errorf("kafkatest: %w", err)
	}
	if err := os.MkdirAll(c.cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("kafkatest: %w", err)
	}
	first := cfg.Port
	if first == 0 {
		if first, err = c.claim(); err != nil {
			return nil, err
		}
	}
	if err := c.makeCerts(); err != nil {
		return nil, err
	}
	for id := 1; id <= cfg.Nodes; id++ {
		c.nodes = append(c.nodes, &Node{
			id:   id,
			addr: fmt.Sprintf("127.0.0.1:%d", port(first, cfg.Nodes, clientListener, id)),
			dir:  filepath.Join(c.cfg.Dir, fmt.Sprintf("node%d", id)),
			dist: d,
		})
	}
	doors, err := c.openDoors()
	if err != nil {
		return nil, err
	}
	if err := c.format(ctx, first, doors); err != nil {
		return nil, err
	}
	for _, n := range c.nodes {
		if err := n.Start(); err != nil {
			return nil, err
		}
	}
	return c, c.WaitReady(ctx)
}

func (c *Cluster) makeCerts() (err error) {
	if !c.cfg.Security.tls() {
		return nil
	}
	dir := filepath.Join(c.cfg.Dir, "tls") // a node's tlsDir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	if c.ca, err = NewCA(dir); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	if err := c.ca.issueStore("broker", brokerStore); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	if c.client, err = c.ca.Issue("client"); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	c.tls, err = c.ca.TLSConfig(c.client)
	return err
}

// claim takes a block of ports for as long as the cluster lives.
func (c *Cluster) claim() (first int, err error) {
	l, first, err := claimPorts()
	if err == nil {
		c.ports = append(c.ports, l)
	}
	return first, err
}

// openDoors starts the proxies, and gives the doors of each node.
func (c *Cluster) openDoors() ([][]door, error) {
	doors := make([][]door, len(c.nodes))
	if c.cfg.Doors == 0 {
		return doors, nil
	}
	var first [2]int // listeners and proxies
	for i := range first {
		var err error
		if first[i], err = c.claim(); err != nil {
			return nil, err
		}
	}
	for d := range c.cfg.Doors {
		c.doors = append(c.doors, nil)
		for n := range c.nodes {
			i := d*len(c.nodes) + n
			at := fmt.Sprintf("127.0.0.1:%d", first[0]+i)
			p, err := newProxy(fmt.Sprintf("127.0.0.1:%d", first[1]+i), at)
			if err != nil {
				return nil, err
			}
			c.doors[d] = append(c.doors[d], p)
			doors[n] = append(doors[n], door{at, p.Addr()})
		}
	}
	return doors, nil
}

// format prepares all nodes at once: each is a JVM's start.
func (c *Cluster) format(ctx context.Context, first int, doors [][]door) error {
	id, err := clusterID(filepath.Join(c.cfg.Dir, "cluster.id"))
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		wg.Go(func() {
			errs[i] = n.format(ctx, id, c.cfg.properties(first, n.id, doors[i]), c.cfg.Security.formatArgs())
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// clusterID is the one in file, or a new one: nodes refuse another cluster's.
func clusterID(file string) (string, error) {
	have, err := os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return string(have), err
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	raw[0] &= 0x7f           // an id must not begin with a dash, which would be 0xf8 and up
	id := base64.RawURLEncoding.EncodeToString(raw[:])
	return id, os.WriteFile(file, []byte(id), 0o644)
}

// Close ends all nodes: the clean way when Config.Dir keeps the data, else at once.
func (c *Cluster) Close() error {
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		wg.Go(func() {
			if up, _ := n.serves(); up && c.keep {
				errs[i] = n.Stop()
				return
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			errs[i] = n.kill()
		})
	}
	wg.Wait()
	for _, ps := range c.doors {
		for _, p := range ps {
			errs = append(errs, p.Close())
		}
	}
	for _, l := range c.ports {
		errs = append(errs, l.Close())
	}
	c.doors, c.ports = nil, nil
	if c.temp != "" {
		errs = append(errs, os.RemoveAll(c.temp))
	}
	return errors.Join(errs...)
}

func (c *Cluster) logTails() string {
	var b strings.Builder
	for _, n := range c.nodes {
		b.WriteString("kafkatest: " + n.logTail() + "\n")
	}
	return b.String()
}

// Brokers are the addresses for clients, of all nodes, up or not.
func (c *Cluster) Brokers() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.addr)
	}
	return addrs
}

// Door is what a client that shall meet the proxies of a door, counted from 0, is given
// in place of Brokers.
func (c *Cluster) Door(door int) []string {
	var addrs []string
	for _, p := range c.doors[door] {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// Proxy is the one between the clients of a door, counted from 0, and a node, by Kafka's id.
func (c *Cluster) Proxy(door, id int) *Proxy { return c.doors[door][id-1] }

// Node returns a node by Kafka's id, from 1 to Config.Nodes.
func (c *Cluster) Node(id int) *Node { return c.nodes[id-1] }

// CA that signed the brokers' certificates; nil without TLS.
func (c *Cluster) CA() *CA { return c.ca }

// ClientCert is a certificate that the brokers accept; empty without TLS.
func (c *Cluster) ClientCert() Cert { return c.client }

// Client is a franz-go client that the cluster lets in, closed with t. A reader
// or writer of a test that is not the code under test.
func (c *Cluster) Client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(c.clientOpts(c.Brokers()...), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// clientOpts let a client in; with several mechanisms, by the first.
func (c *Cluster) clientOpts(seeds ...string) []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(seeds...)}
	if c.tls != nil {
		opts = append(opts, kgo.DialTLSConfig(c.tls.Clone()))
	}
	if c.cfg.Security.sasl() {
		opts = append(opts, kgo.SASL(login(c.cfg.Security.Mechanisms[0])))
	}
	return opts
}

func login(m Mechanism) sasl.Mechanism {
	user := scram.Auth{User: User, Pass: Password}
	switch m {
	case ScramSHA256:
		return user.AsSha256Mechanism()
	case ScramSHA512:
		return user.AsSha512Mechanism()
	default:
		return plain.Auth{User: User, Pass: Password}.AsMechanism()
	}
}
