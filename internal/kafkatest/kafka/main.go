package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var cfg kafkatest.Config
	flags := flag.NewFlagSet("kafka", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&cfg.Nodes, "nodes", 1, "1 or 3")
	flags.IntVar(&cfg.Port, "port", 0, "port of the first node; 0 takes free ones")
	flags.StringVar(&cfg.Dir, "dir", "", "folder that keeps the data; default: a temporary one")
	protocol := flags.String("security", "PLAINTEXT", "PLAINTEXT, SASL_PLAINTEXT, SSL or SASL_SSL")
	fetch := flags.Bool("fetch", false, "bring Kafka's jars into the cache, and end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg.Security.Protocol = kafkatest.Protocol(*protocol)
	if err := cfg.Validate(); err != nil {
		return err
	}

	began := time.Now()
	cache, err := kafkatest.Fetch(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Apache Kafka %s in %s (%s)\n", kafkatest.Version, cache, since(began))
	if *fetch {
		return nil
	}
	began = time.Now()
	c, err := kafkatest.Open(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "brokers: %s (%s)\n", strings.Join(c.Brokers(), ","), since(began))
	for id := 1; id <= cfg.Nodes; id++ {
		fmt.Fprintf(out, "node %d: pid %d, log %s\n", id, c.Node(id).PID(), c.Node(id).Log())
	}
	if cfg.Security.Protocol != kafkatest.Plaintext {
		fmt.Fprintf(out, "%s: user %s, password %s\n", *protocol, kafkatest.User, kafkatest.Password)
	}
	if ca := c.CA(); ca != nil {
		fmt.Fprintf(out, "CA %s, a client's certificate %s, key %s\n", ca.File, c.ClientCert().CertFile, c.ClientCert().KeyFile)
	}
	fmt.Fprintln(out, "^C stops it")
	<-ctx.Done()
	return c.Close()
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }
