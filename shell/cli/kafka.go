package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/seed-81380e12/limpet/shell/kafka"
)

// kafkaSettings say how to reach Kafka.
type kafkaSettings struct {
	brokers []string

	tls                             bool
	tlsCA, tlsCert, tlsKey, tlsName string
	mechanism, username             string
	password                        secret
	passwordFile                    string
}

// The SASL mechanisms.
const (
	saslNone     = "none"
	saslPlain    = "plain"
	saslScram256 = "scram-sha-256"
	saslScram512 = "scram-sha-512"
)

func (k *kafkaSettings) register(s *settings) {
	s.StringSliceVar(&k.brokers, "brokers", nil, "brokers to ask first, as `host:port,...`")
	s.BoolVar(&k.tls, "tls", false, "connect with TLS; implied by the other tls flags")
	s.StringVar(&k.tlsCA, "tls-ca", "", "PEM `file` of the authorities to trust (default: those of the system)")
	s.StringVar(&k.tlsCert, "tls-cert", "", "PEM `file` of the client's certificate, for mutual TLS")
	s.StringVar(&k.tlsKey, "tls-key", "", "PEM `file` of the client's key, for mutual TLS")
	s.StringVar(&k.tlsName, "tls-server-name", "", "`name` that the brokers' certificates must have (default: the host)")
	s.enum(&k.mechanism, "sasl-mechanism", saslNone, "how to log in", saslNone, saslPlain, saslScram256, saslScram512)
	s.StringVar(&k.username, "sasl-username", "", "`user` to log in as")
	s.secret(&k.password, "sasl-password", "password to log in with; others can see flags: better use LIMPET_SASL_PASSWORD, or:")
	s.StringVar(&k.passwordFile, "sasl-password-file", "", "`file` with the password; the last line break is not part of it")
}

// readPassword reads the password from its file, unless the password itself was given
// with higher precedence.
func (k *kafkaSettings) readPassword(s *settings) error {
	if k.passwordFile == "" {
		return nil
	}
	direct, file := s.origin("sasl-password"), s.origin("sasl-password-file")
	if direct == file {
		return fmt.Errorf("%w: sasl-password and sasl-password-file are both given: leave one out", errSettings)
	}
	if direct > file {
		return nil
	}
	b, err := os.ReadFile(k.passwordFile)
	if err != nil {
		return fmt.Errorf("%w: sasl-password-file: %w", errSettings, err)
	}
	return k.password.Set(strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"))
}

func (k *kafkaSettings) useTLS() bool {
	return k.tls || k.tlsCA != "" || k.tlsCert != "" || k.tlsKey != "" || k.tlsName != ""
}

// check finds what is missing and what does not go together.
func (k *kafkaSettings) check() error {
	var errs []error
	bad := func(f string, a ...any) {
		errs = append(errs, fmt.Errorf("%w: "+f, append([]any{errSettings}, a...)...))
	}
	if len(k.brokers) == 0 {
		errs = append(errs, usagef("--brokers is missing: where Kafka is, as host:port,..."))
	}
	for _, b := range k.brokers {
		if i := strings.LastIndexByte(b, ':'); i <= 0 || i == len(b)-1 {
			bad("brokers: %q has no port; want host:port, such as %s:9092", b, strings.TrimSuffix(b, ":"))
		}
	}
	if (k.tlsCert == "") != (k.tlsKey == "") {
		bad("tls-cert and tls-key go together: one of them is missing")
	}
	if k.mechanism == saslNone {
		if k.username != "" || k.password.reveal() != "" {
			bad("sasl-mechanism is missing: want one of %s, %s, %s", saslPlain, saslScram256, saslScram512)
		}
	} else {
		if k.username == "" {
			bad("sasl-username is missing, for sasl-mechanism %s", k.mechanism)
		}
		if k.password.reveal() == "" {
			bad("the password is missing, for sasl-mechanism %s: set LIMPET_SASL_PASSWORD or sasl-password-file", k.mechanism)
		}
	}
	return errors.Join(errs...)
}

// attrs are the settings as the log may show them.
func (k *kafkaSettings) attrs() []any {
	return []any{"brokers", strings.Join(k.brokers, ","), "tls", k.useTLS(), "sasl", k.mechanism}
}

// config is the settings as package kafka takes them, which reads the files.
func (k *kafkaSettings) config(log *slog.Logger) (kafka.Config, error) {
	c := kafka.Config{
		Brokers: k.brokers, Logger: log,
		TLS: kafka.TLS{Enable: k.tls, CA: k.tlsCA, Cert: k.tlsCert, Key: k.tlsKey, ServerName: k.tlsName},
	}
	if k.mechanism != saslNone {
		c.SASL = kafka.SASL{Mechanism: strings.ToUpper(k.mechanism), User: k.username, Password: kafka.Secret(k.password.reveal())}
	}
	return c, c.Validate()
}
