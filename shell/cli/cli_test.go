package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

func upper(name string) *topology.Builder {
	b := topology.New(name)
	in := topology.NewTopic("in", codec.String, codec.String)
	topology.Map(in.Stream(b), strings.ToUpper).To(topology.NewTopic("out", codec.String, codec.String))
	return b
}

func invalid() *topology.Builder {
	b := topology.New("invalid")
	topology.NewTopic("in", codec.String, codec.String).Stream(b)
	return b
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

func run(t *testing.T, p Program, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	p.Name = "prog"
	code := p.Run(t.Context(), args, IO{strings.NewReader(""), &out, &errs})
	return result{code, out.String(), errs.String()}
}

func TestExitCodes(t *testing.T) {
	one := Program{Topologies: []*topology.Builder{upper("upper")}}
	two := Program{Topologies: []*topology.Builder{upper("upper"), upper("lower")}}
	bad := Program{Topologies: []*topology.Builder{invalid()}}
	demos := Program{Topologies: one.Topologies, Demos: []Demo{
		{Name: "good", Run: func(context.Context, DemoOptions) error { return nil }},
		{Name: "bad", Run: func(context.Context, DemoOptions) error { return errors.New("the audit says no") }},
	}}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("brokers: a:1\nstate-dirr: /tmp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		p    Program
		args string
		code int
		want string // in what it prints
	}{
		{one, "", exitOK, "Available Commands"},
		{one, "--help", exitOK, "Available Commands"},
		{one, "run --help", exitOK, "LIMPET_APP_ID"},
		{one, "frobnicate", exitUsage, `no command "frobnicate"`},
		{one, "versio", exitUsage, `did you mean "version"?`},
		{one, "--frobnicate", exitUsage, "unknown flag"},
		{one, "run --frobnicate", exitUsage, "See 'prog run --help'"},
		{one, "run --workers=x", exitUsage, "workers"},
		{one, "run --store=rocks", exitUsage, "want one of: pebble, memory"},
		{one, "run nobody", exitUsage, `no topology "nobody"; there is: upper`},
		{one, "run a b", exitUsage, "one name"},
		{one, "run", exitUsage, "--brokers is missing"},
		{two, "run", exitUsage, "which topology? One of: upper, lower"},
		{Program{}, "run", exitUsage, "no topologies"},
		{one, "run --store memory --brokers a:1 --workers 0", exitInvalid, "--workers 0: there must be one at least"},
		{one, "run --store memory --brokers a:1 --workers -1", exitInvalid, "--workers -1"},
		{one, "run --store memory --brokers x", exitInvalid, "has no port"},
		{one, "run --config " + file, exitInvalid, `unknown key "state-dirr"; did you mean "state-dir"?`},
		{one, "run --config /does/not/exist", exitInvalid, "/does/not/exist"},
		{one, "run --store memory --brokers a:1 --tls-ca /does/not/exist", exitInvalid, "/does/not/exist"},
		{bad, "run --store memory --brokers a:1", exitInvalid, "invalid"},
		{bad, "topology describe", exitInvalid, "invalid"},
		{one, "topology", exitOK, "describe"},
		{one, "topology frobnicate", exitUsage, "no command"},
		{one, "topology list x", exitUsage, "no arguments"},
		{two, "topology list", exitOK, "upper\nlower\n"},
		{two, "topology describe", exitUsage, "which topology"},
		{two, "topology describe lower", exitOK, ""},
		{two, "topology describe lower upper -o mermaid", exitOK, "subgraph s1 [\"upper\"]"},
		{two, "topology describe lower upper", exitOK, "\ntopology upper\n"},
		{two, "topology describe lower lower", exitUsage, "twice"},
		{one, "topology describe -o xml", exitUsage, "text, dot, mermaid, json"},
		{one, "version", exitOK, "prog "},
		{one, "version now", exitUsage, "no arguments"},
		{one, "completion bash", exitOK, "bash"},
		{one, "__complete run \"\"", exitOK, "ShellCompDirective"},
		{one, "demo", exitUsage, `no command "demo"`},
		{demos, "demo --list", exitOK, "good\nbad\n"},
		{demos, "demo", exitOK, ""},
		{demos, "demo good", exitOK, ""},
		{demos, "demo bad", exitFailure, "the audit says no"},
		{demos, "demo ugly", exitUsage, `no demo "ugly"; there is: good, bad`},
		{demos, "demo --rate 0", exitUsage, "--rate"},
		{demos, "demo --partitions 0", exitUsage, "--partitions"},
		{demos, "demo --for -1s", exitUsage, "--for"},
		{demos, "demo --crash-every 1ms", exitUsage, "500ms"},
		{demos, "demo --crash-every 2s --store memory", exitUsage, "pebble"},
		{demos, "demo --state-dir /tmp/x --store memory", exitUsage, "leave one out"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			got := run(t, tt.p, strings.Fields(tt.args)...)
			if got.code != tt.code || !strings.Contains(got.out+got.err, tt.want) {
				t.Errorf("got %d, want %d with %q\nstdout: %s\nstderr: %s", got.code, tt.code, tt.want, got.out, got.err)
			}
			if tt.code == exitOK && got.err != "" && !strings.HasPrefix(tt.args, "__complete") {
				t.Errorf("stderr: %s", got.err)
			}
			if tt.code != exitOK && got.out != "" {
				t.Errorf("stdout: %s", got.out)
			}
		})
	}
}

func TestExitCodeOfErrors(t *testing.T) {
	for err, want := range map[error]int{
		shell.ErrUnreachable: exitUnreachable, shell.ErrTopic: exitInvalid, shell.ErrConfig: exitInvalid, topology.ErrInvalid: exitInvalid,
		statestore.ErrSchema: exitInvalid, statestore.ErrApp: exitInvalid, statestore.ErrForeign: exitInvalid,
		statestore.ErrLocked: exitFailure, core.ErrDecode: exitFailure, shell.ErrHung: exitFailure, io.EOF: exitFailure,
	} {
		if got := exitCode(fmt.Errorf("somewhere: %w", err)); got != want {
			t.Errorf("%v: got %d, want %d", err, got, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	p := Program{Topologies: []*topology.Builder{upper("upper")}}
	for format, want := range map[string]string{"text": "upper", "dot": "digraph", "mermaid": "flowchart", "json": `"upper"`} {
		got := run(t, p, "topology", "describe", "upper", "-o", format)
		if got.code != exitOK || !strings.Contains(got.out, want) {
			t.Errorf("%s: got %d, without %q:\n%s%s", format, got.code, want, got.out, got.err)
		}
		if !strings.HasSuffix(got.out, "\n") || strings.HasSuffix(got.out, "\n\n") {
			t.Errorf("%s: does not end with one line break", format)
		}
		if format == "json" && !json.Valid([]byte(got.out)) {
			t.Errorf("invalid JSON:\n%s", got.out)
		}
	}
}

func TestVersion(t *testing.T) {
	var b bytes.Buffer
	printVersion(&b, "prog", &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Deps:     []*debug.Module{{Path: "github.com/IBM/sarama", Version: "v1.61.1"}, {Path: "example.com/other", Version: "v9"}},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}},
	})
	first, second, _ := strings.Cut(b.String(), "\n")
	if first != "prog v1.2.3, commit 0123456789ab, modified" || !strings.Contains(second, "sarama v1.61.1") || strings.Contains(second, "other") {
		t.Errorf("got %s", b.String())
	}
	printVersion(&b, "prog", nil) // a binary without build information
}

// TestSecretsAreNotPrinted gives a password in every way and makes everything fail that
// can, loudly.
func TestSecretsAreNotPrinted(t *testing.T) {
	const password = "hunter2"
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	config := write("c.yaml", "sasl-password: "+password+"\nunknown: key\n")
	file := write("password", password)
	t.Setenv("LIMPET_SASL_PASSWORD", password)
	p := Program{Topologies: []*topology.Builder{upper("upper")}}
	const sasl = " --brokers 127.0.0.1:1 --store memory --sasl-mechanism plain --sasl-username me --log-level debug "
	for _, args := range []string{
		"run --help", "run --sasl-password " + password + " --help", "run --sasl-password=" + password + " --bogus", "run --sasl-password",
		"run --config " + config, "run --sasl-username me", "run nobody --sasl-password " + password,
		"run" + sasl + "--tls-ca " + file, "run" + sasl + "--tls-cert " + file + " --tls-key " + file, "run" + sasl + "--sasl-password-file " + file + "x",
		"__complete run --sasl-password " + password[:3],
	} {
		if got := run(t, p, strings.Fields(args)...); strings.Contains(got.out+got.err, password) {
			t.Errorf("%s: printed the password:\n%s%s", args, got.out, got.err)
		}
	}
	var s secret
	_ = s.Set(password)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprint(&s), fmt.Sprintf("%+v %#v %q", s, s, s), fmt.Sprintf("%v %+v", struct{ P secret }{s}, kafkaSettings{password: s})} {
		if strings.Contains(text, password) {
			t.Errorf("formatted as %s", text)
		}
	}
}

// What help says of a setting names one default, and that is what is in force where nothing is set.
func TestHelpNamesOneDefault(t *testing.T) {
	p := Program{Topologies: []*topology.Builder{upper("upper")}, Demos: []Demo{{Name: "good", Run: func(context.Context, DemoOptions) error { return nil }}}}
	flags := 0
	for _, command := range []string{"run", "describe", "demo", "version", "completion bash"} {
		help := run(t, p, append(strings.Fields(command), "--help")...)
		for line := range strings.Lines(help.out) {
			if !strings.Contains(line, "--") {
				continue
			}
			flags++
			if n := strings.Count(line, "(default"); n > 1 {
				t.Errorf("%s: %d defaults: %s", command, n, line)
			}
			if strings.Contains(line, "(default 0") {
				t.Errorf("%s: what none means is not said: %s", command, line)
			}
		}
	}
	if flags < 20 {
		t.Errorf("%d lines of help name a flag: this test has lost its eyes", flags)
	}
}

func TestLogsSayWhere(t *testing.T) {
	at := &core.RecordError{Task: core.TaskID{Sub: 1, Partition: 3}, Topic: "orders", Offset: 42, Node: "compose", Func: "pkg.Compose", Err: core.ErrPanic, Stack: []byte("stack")}
	for format, want := range map[string]string{
		"text": "task=1_3 topic=orders partition=3 offset=42 node=compose func=pkg.Compose",
		"json": `"task":"1_3","topic":"orders","partition":3,"offset":42,"node":"compose","func":"pkg.Compose"`,
	} {
		var b bytes.Buffer
		log := (&logSettings{"info", format}).logger(&b)
		log.With("worker", 0).Error("stopped", "err", fmt.Errorf("wrapped: %w", at))
		log.Debug("not shown")
		if !strings.Contains(b.String(), want) || strings.Count(b.String(), "\n") != 1 {
			t.Errorf("got %s", b.String())
		}
	}
	var b bytes.Buffer
	lost := &shell.OffsetError{Partition: shell.Partition{Topic: "orders", ID: 3}, Want: 7}
	(&logSettings{"info", "text"}).logger(&b).Error("stopped", slog.Any("err", lost))
	if want := "topic=orders partition=3 offset=7"; !strings.Contains(b.String(), want) {
		t.Errorf("got %s", b.String())
	}
}
