package kafka

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/shell"
)

// TLS with client certificates and SASL: the good cases, and what is said in the bad ones.
func TestRealKafkaSecurity(t *testing.T) {
	kafkatest.Require(t)
	c := kafkatest.Start(t, kafkatest.Config{Security: kafkatest.Security{
		Protocol: kafkatest.SASLSSL, Mechanisms: []kafkatest.Mechanism{kafkatest.ScramSHA512, kafkatest.Plain}, ClientCert: true,
	}})
	stranger, err := kafkatest.NewCA(t.TempDir())
	must(t, err)
	good := func() Config {
		cfg := testConfig(c.Brokers())
		cfg.DialTimeout = 2 * time.Second
		cfg.TLS = TLS{CA: c.CA().File, Cert: c.ClientCert().CertFile, Key: c.ClientCert().KeyFile}
		cfg.SASL = SASL{"SCRAM-SHA-512", kafkatest.User, kafkatest.Password}
		return cfg
	}
	for _, mechanism := range []string{"SCRAM-SHA-512", "PLAIN"} {
		t.Run(mechanism, func(t *testing.T) {
			cfg := good()
			cfg.SASL.Mechanism = mechanism
			b := open(t, cfg)
			topics(t, b, 1, "in", "out", "orders")
			topics(t, b, 1, "customers", "by-customer")
			x := &counting{t: t, b: b, p: producerFor(t, b, "x-"+mechanism), group: "g", parts: 1}
			os, err := b.Committed(t.Context(), "g", []shell.Partition{tp("in", 0)})
			must(t, err)
			before := os[tp("in", 0)].Next
			x.next = before
			for x.next < before+5 {
				must(t, x.step(limit(t, 20*time.Second)))
			}
			bounds, err := b.Bounds(t.Context(), []shell.Partition{tp("out", 0)})
			must(t, err)
			got := fetchUntil(t, b, map[shell.Partition]core.Offset{tp("out", 0): bounds[tp("out", 0)].End})
			if len(got[tp("out", 0)]) != int(x.next)*perTransaction {
				t.Fatal(len(got[tp("out", 0)]))
			}
			m := join(t, b, "m-"+mechanism)
			balanced(t, 2, m)
			must(t, m.Close(limit(t, 10*time.Second)))
		})
	}
	for _, x := range []struct {
		name, says string
		f          func(*Config)
	}{
		{"password", "password", func(c *Config) { c.SASL.Password = "wrong" }},
		{"user", "password", func(c *Config) { c.SASL.User = "nobody" }},
		{"mechanism", "sasl.enabled.mechanisms", func(c *Config) { c.SASL.Mechanism = "SCRAM-SHA-256" }},
		{"no SASL", "SASL", func(c *Config) { c.SASL = SASL{} }},
		{"no TLS", "may speak TLS", func(c *Config) { c.TLS = TLS{} }},
		{"CA", "TLS.CA", func(c *Config) { c.TLS.CA = stranger.File }},
		{"no client certificate", "TLS.Cert", func(c *Config) { c.TLS.Cert, c.TLS.Key = "", "" }},
		{"name", "ServerName", func(c *Config) { c.TLS.ServerName = "elsewhere" }},
	} {
		t.Run(x.name, func(t *testing.T) {
			cfg := good()
			x.f(&cfg)
			began := time.Now()
			_, err := Open(t.Context(), cfg)
			t.Logf("%v: %v", time.Since(began).Round(time.Millisecond), err)
			if !errors.Is(err, shell.ErrUnreachable) || !strings.Contains(err.Error(), x.says) || time.Since(began) > 15*time.Second {
				t.Errorf("does not say %q", x.says)
			}
			if strings.Contains(err.Error(), kafkatest.Password) {
				t.Error("says the password")
			}
		})
	}
}
