package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/IBM/sarama"
)

// Config says how to reach Kafka. The zero value of a field is its default; Brokers
// alone is required.
type Config struct {
	// Brokers are some of the cluster's, as host:port: the rest is learned from them.
	Brokers []string
	// ClientID names the application in the brokers' logs and quotas. Default "limpet".
	ClientID string
	// RackID is where this process runs, as the brokers' broker.rack has it: records are
	// then fetched from a replica there, if the brokers have a replica selector (KIP-392).
	RackID string

	TLS  TLS
	SASL SASL

	// Compression of what is produced: "none" (the default), "lz4", "zstd", "snappy" or
	// "gzip". All of them can be read, whatever this says.
	Compression string
	// BatchBytes is how large a record batch gets before it is compressed. A single record
	// that is larger makes a batch of its own. It must stay below the topics'
	// max.message.bytes (1 MiB unless changed). Default 900 KiB.
	BatchBytes int

	// FetchWait is how long a broker holds a fetch that has nothing to read, where others may
	// come in between. Default 100 ms; see fetch.go for why it is not more, and when it is.
	FetchWait time.Duration

	// SessionTimeout is after how long without a heartbeat a member is dead and its tasks
	// move. Brokers refuse less than 6 s, unless told otherwise. Default 8 s: then the tasks
	// of a process that is gone are at work elsewhere within 10 s.
	SessionTimeout time.Duration
	// HeartbeatInterval bounds how fast members hear of a rebalance. Default 200 ms.
	HeartbeatInterval time.Duration
	// RebalanceTimeout is how long a member may take to commit and close what is revoked,
	// before the group goes on without it. Default 60 s.
	RebalanceTimeout time.Duration
	// TransactionTimeout is after how long the brokers abort an open transaction. Until then
	// a dead process holds up those who read what it wrote, unless its id is opened by its
	// successor. A stall beyond it costs an abort, never data. Default 10 s.
	TransactionTimeout time.Duration
	// RetryFor is how long an outage is waited out before an operation fails. A broker that
	// was killed stays leader and coordinator in the metadata until its session ends (9 s),
	// and restarts take a minute at times. Default 120 s.
	RetryFor time.Duration
	// DialTimeout bounds connecting to one broker, TLS and SASL included in the first answer.
	// Default 5 s.
	DialTimeout time.Duration

	Logger *slog.Logger // default: slog.Default
}

// TLS is on when Enable is set or any file is named.
type TLS struct {
	Enable bool // with the system's roots, where there is no CA
	// CA is a PEM file of the authorities that brokers' certificates are checked against.
	CA string
	// Cert and Key are PEM files of the client's own certificate, where brokers ask for one.
	Cert, Key string
	// ServerName is what brokers' certificates must name. Default: the host in the address.
	ServerName string
	// InsecureSkipVerify accepts any certificate: whoever is in between can read and change
	// everything. For tests.
	InsecureSkipVerify bool
}

// SASL is on when a Mechanism is named.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	User      string
	Password  Secret
}

// Secret prints as stars, however it is formatted, logged or marshalled.
type Secret string

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes a secret from a configuration file.
func (s *Secret) UnmarshalText(b []byte) error { *s = Secret(b); return nil }

// ErrConfig marks a configuration that Open refuses.
var ErrConfig = errors.New("kafka: invalid configuration")

var codecs = map[string]int8{"": codecNone, "none": codecNone, "gzip": codecGzip, "snappy": codecSnappy, "lz4": codecLZ4, "zstd": codecZstd}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if c.ClientID == "" {
		c.ClientID = "limpet"
	}
	if c.BatchBytes == 0 {
		c.BatchBytes = 900 << 10
	}
	def(&c.FetchWait, 100*time.Millisecond)
	def(&c.SessionTimeout, 8*time.Second)
	def(&c.HeartbeatInterval, 200*time.Millisecond)
	def(&c.RebalanceTimeout, 60*time.Second)
	def(&c.TransactionTimeout, 10*time.Second)
	def(&c.RetryFor, 120*time.Second)
	def(&c.DialTimeout, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Validate reports all that is wrong with the configuration, files included. Its errors
// wrap ErrConfig.
func (c Config) Validate() error {
	_, err := c.check()
	return err
}

// check is Validate, and gives what it found in the TLS files.
func (c Config) check() (*tls.Config, error) {
	c = c.withDefaults()
	var errs []error
	bad := func(f string, a ...any) { errs = append(errs, fmt.Errorf("%w: "+f, append([]any{ErrConfig}, a...)...)) }
	if len(c.Brokers) == 0 {
		bad("Brokers is empty")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			bad("Brokers: %q is no host:port: %w", b, err)
		}
	}
	if _, ok := codecs[c.Compression]; !ok {
		bad("Compression is %q: use none, lz4, zstd, snappy or gzip", c.Compression)
	}
	if c.BatchBytes < 1<<10 {
		bad("BatchBytes is %d: less than 1 KiB", c.BatchBytes)
	}
	switch c.SASL.Mechanism {
	case "":
		if c.SASL.User != "" || c.SASL.Password != "" {
			bad("SASL.User is given, SASL.Mechanism is not: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
		}
	case sarama.SASLTypePlaintext, sarama.SASLTypeSCRAMSHA256, sarama.SASLTypeSCRAMSHA512:
		if c.SASL.User == "" || c.SASL.Password == "" {
			bad("SASL.Mechanism is %s: User and Password are needed", c.SASL.Mechanism)
		}
	default:
		bad("SASL.Mechanism is %q: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", c.SASL.Mechanism)
	}
	for name, d := range map[string]time.Duration{
		"FetchWait": c.FetchWait, "SessionTimeout": c.SessionTimeout, "HeartbeatInterval": c.HeartbeatInterval, "RebalanceTimeout": c.RebalanceTimeout,
		"TransactionTimeout": c.TransactionTimeout, "RetryFor": c.RetryFor, "DialTimeout": c.DialTimeout,
	} {
		if d < time.Millisecond {
			bad("%s is %v", name, d)
		}
	}
	if c.HeartbeatInterval > c.SessionTimeout/3 {
		bad("HeartbeatInterval is %v: more than a third of SessionTimeout %v, so one lost heartbeat loses the membership", c.HeartbeatInterval, c.SessionTimeout)
	}
	if c.TransactionTimeout > 15*time.Minute {
		bad("TransactionTimeout is %v: brokers refuse more than their transaction.max.timeout.ms, 15 minutes", c.TransactionTimeout)
	}
	t, err := c.TLS.config()
	if err != nil {
		bad("TLS: %w", err)
	}
	return t, errors.Join(errs...)
}

// config reads the files; nil means that TLS is off.
func (t TLS) config() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CA != "" {
		b, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s holds no PEM certificate", t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("a TLS certificate and its key go together")
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// security names how brokers are spoken to, as Kafka's security.protocol does, for
// error texts.
func (c *Config) security() string {
	s := "PLAINTEXT"
	switch {
	case c.TLS != TLS{} && c.SASL.Mechanism != "":
		s = "SASL_SSL"
	case c.TLS != TLS{}:
		s = "SSL"
	case c.SASL.Mechanism != "":
		s = "SASL_PLAINTEXT"
	}
	if c.SASL.Mechanism != "" {
		s += " with " + c.SASL.Mechanism + " as user " + c.SASL.User
	}
	return s
}
