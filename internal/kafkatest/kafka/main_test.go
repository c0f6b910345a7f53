package main

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-nodes 2":       "want 1 or 3",
		"-security SASL": "is none of PLAINTEXT",
		"-port x":        "invalid value",
	} {
		var out bytes.Buffer
		if err := run(t.Context(), strings.Fields(args), &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

// stopWhen cancels at the first write that holds a text: ^C at that moment.
type stopWhen struct {
	bytes.Buffer
	text   string
	cancel func()
	then   func(printed string)
}

func (w *stopWhen) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(string(p), w.text) {
		w.then(w.String())
		w.cancel()
	}
	return n, err
}

func TestRealKafkaCommand(t *testing.T) {
	t.Parallel()
	kafkatest.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	addr := ""
	out := &stopWhen{text: "^C stops it", cancel: cancel, then: func(printed string) {
		if m := regexp.MustCompile(`brokers: (\S+)`).FindStringSubmatch(printed); m != nil {
			addr = m[1]
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Errorf("no broker at %s: %v", addr, err)
				return
			}
			_ = conn.Close()
		}
	}}
	if err := run(ctx, []string{"-security", "SASL_SSL"}, out); err != nil {
		t.Fatal(err)
	}
	if addr == "" || !strings.Contains(out.String(), "password") || !strings.Contains(out.String(), "client.key") {
		t.Errorf("printed:\n%s", out.String())
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Errorf("%s is still open after the end", addr)
	}
}
