package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/internal/allocated"
	"github.com/seed-81380e12/limpet/shell"
)

// resolved resolves the settings of run.
func resolved(t *testing.T, args, env []string, file string) (*runSettings, *settings, error) {
	t.Helper()
	s, r := newSettings(), &runSettings{}
	r.register(s)
	if err := s.Parse(args); err != nil {
		t.Fatal(err)
	}
	name := ""
	if file != "" {
		name = filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r, s, s.resolve(env, name)
}

func TestPrecedence(t *testing.T) {
	const file = "commit-interval: 30ms\nworkers: 3\nbrokers: [f1:1, f2:2]\ncheck-mutation: true\n"
	env := []string{"LIMPET_COMMIT_INTERVAL=20ms", "LIMPET_WORKERS=2", "LIMPETX=1", "PATH=/bin"}
	tests := []struct {
		name      string
		args, env []string
		file      string
		interval  time.Duration
		workers   int
		brokers   string
	}{
		{"defaults", nil, nil, "", 100 * time.Millisecond, 1, ""},
		{"file over default", nil, nil, file, 30 * time.Millisecond, 3, "f1:1,f2:2"},
		{"environment over file", nil, env, file, 20 * time.Millisecond, 2, "f1:1,f2:2"},
		{"flag over environment", []string{"--commit-interval=10ms", "--brokers=a:1,b:2"}, env, file, 10 * time.Millisecond, 2, "a:1,b:2"},
		{"flag over file", []string{"--workers=9"}, nil, file, 30 * time.Millisecond, 9, "f1:1,f2:2"},
		{"flag that says the default", []string{"--workers=1"}, env, file, 20 * time.Millisecond, 1, "f1:1,f2:2"},
		{"list in the environment", nil, []string{"LIMPET_BROKERS=e:1,e:2"}, file, 30 * time.Millisecond, 3, "e:1,e:2"},
		{"list as text in the file", nil, nil, "brokers: x:1,y:2\n", 100 * time.Millisecond, 1, "x:1,y:2"},
		{"empty file", nil, nil, "# nothing\n", 100 * time.Millisecond, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, _, err := resolved(t, tt.args, tt.env, tt.file)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(r.kafka.brokers, ","); r.commitInterval != tt.interval || r.workers != tt.workers || got != tt.brokers {
				t.Errorf("got %v, %d, %s; want %v, %d, %s", r.commitInterval, r.workers, got, tt.interval, tt.workers, tt.brokers)
			}
		})
	}
}

func TestSettingsAreRefused(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		file string
		want []string // all in the error
	}{
		{"unknown key", nil, "workers: 2\nbroker: a:1\n", []string{"line 2", `unknown key "broker"`, `did you mean "brokers"`}},
		{"unknown keys, all of them", nil, "foo: 1\nwhatever: 2\n", []string{`"foo"`, `"whatever"`}},
		{"config inside the file", nil, "config: other.yaml\n", []string{`unknown key "config"`}},
		{"twice", nil, "workers: 2\nworkers: 3\n", []string{"line 2", "set in line 1"}},
		{"not a number", nil, "workers: many\n", []string{"line 1", "workers", `"many" is not a number`}},
		{"not a duration", []string{"LIMPET_COMMIT_INTERVAL=10"}, "", []string{"LIMPET_COMMIT_INTERVAL", "is not a duration"}},
		{"not a word", []string{"LIMPET_STORE=rocks"}, "", []string{"LIMPET_STORE", "pebble, memory"}},
		{"not a size", []string{"LIMPET_MEMORY=much"}, "", []string{"LIMPET_MEMORY", "512MiB"}},
		{"not a bool", []string{"LIMPET_TLS=perhaps"}, "", []string{"LIMPET_TLS", "neither true nor false"}},
		{"no value", nil, "workers:\n", []string{"workers", "has no value"}},
		{"nested", nil, "workers: {a: 1}\n", []string{"workers", "plain value"}},
		{"list of lists", nil, "brokers: [[a]]\n", []string{"brokers", "plain values"}},
		{"a second document", nil, "workers: 2\n---\nworkers: x\n", []string{"line 2", "a second document"}},
		{"a list at the top", nil, "- a\n", []string{"brokers: localhost:9092"}},
		{"several at once", []string{"LIMPET_STORE=rocks"}, "workers: x\nfoo: 1\n", []string{"LIMPET_STORE", "workers", `"foo"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := resolved(t, nil, tt.env, tt.file)
			if !errors.Is(err, errSettings) || exitCode(err) != exitInvalid {
				t.Fatalf("got %v", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in: %v", w, err)
				}
			}
		})
	}
	s := newSettings()
	if err := s.resolve(nil, "/does/not/exist.yaml"); exitCode(err) != exitInvalid {
		t.Errorf("a missing file: %v", err)
	}
}

// An error in the file names the line where the mistake begins.
func TestLines(t *testing.T) {
	tests := []struct {
		name, file string
		line       int
	}{
		{"not a mapping", "workers\n", 1},
		{"not a mapping, behind a comment", "# x\n\n- a\n", 3},
		{"no value, before others", "workers\nbrokers: a:1\n", 1},
		{"no value, behind others", "brokers: a:1\nworkers\n", 2},
		{"no value, between others", "brokers: a:1\nworkers\ntls: true\n", 2},
		{"two values in the first line", "workers: 2: 3\ntls: true\n", 1},
		{"two values in the last line", "tls: true\nbrokers: [a]\nworkers: 2: 3", 3},
		{"indented", "tls: true\n  workers: 2\n", 2},
		{"indented, behind a comment", "# x\n\ntls: true\nstore: memory\n  workers: 2\n", 5},
		{"less indented", "  tls: true\nworkers: 2\n", 2},
		{"a list below a value", "# x\ntls: true\n- a\nworkers: 2\n", 3},
		{"a tab", "tls: true\nworkers:\n\t2\n", 3},
		{"a list that is not closed", "tls: true\nbrokers: [a:1,\n  b:1\nworkers: 2\nstore: memory\n", 2},
		{"a list that is not closed, at the end", "tls: true\nbrokers: [a:1\n", 2},
		{"behind a list of several lines", "brokers: [\n  a:1,\n  b:1,\n]\nworkers: 2\n}\n", 6},
		{"in a list of lines", "brokers:\n- a:1\n - b:1\n- c: d: e\n", 4},
		{"a quote that is not closed", "tls: true\nsasl-password: \"x\nworkers: 2\nstore: memory\n", 2},
		{"a quote that is not closed, in the first line", "sasl-password: 'x\nworkers: 2\nstore: memory\n", 1},
		{"what a quote must not have", "tls: true\n\nsasl-password: \"\\x\"\nworkers: 2\n", 3},
		{"behind a block", "sasl-password: |\n  a: [\n  b\nworkers: {\n", 4},
		{"a sign with a meaning", "tls: true\nsasl-password: @x\nworkers: 2\n", 2},
		{"an anchor that is none", "tls: true\nsasl-password: *x\nworkers: 2\n", 2},
		{"a control character", "tls: true\nworkers: \x01\nstore: memory\n", 2},
		{"no UTF-8", "tls: true\nstore: memory\nworkers: \xff\n", 3},
		{"with carriage returns", "tls: true\r\nstore: memory\r\nworkers: [\r\n", 3},
		{"a second document", "tls: true\n# x\n---\n# y\nworkers: 2\n", 3},
		{"a mistake in a second document", "tls: true\n---\nworkers: [\n", 2},
		{"twice", "tls: true\n# x\n\ntls: false\n", 4},
		{"unknown", "# x\n\ntsl: true\n", 3},
		{"unknown, behind a list of lines", "brokers:\n- a:1\n- b:1\ntsl: true\n", 4},
		{"not a number", "tls: true\nworkers:\n  many\n", 2},
		{"nested", "tls: true\nworkers:\n  a: 1\n", 2},
	}
	for _, tt := range tests {
		_, _, err := resolved(t, nil, nil, tt.file)
		got := 0
		if _, rest, ok := strings.Cut(fmt.Sprint(err), ", line "); ok {
			_, _ = fmt.Sscan(rest, &got)
		}
		if got != tt.line {
			t.Errorf("%s: got %v, want line %d", tt.name, err, tt.line)
		}
	}
	// Of a long file none is said, rather than to be sought for ever.
	long := strings.Repeat("# x\n", fileMax/8) + "workers: [\n"
	if _, err := parseFile("x.yaml", []byte(long)); !errors.Is(err, errSettings) || strings.Contains(err.Error(), "line") {
		t.Errorf("a long file: %v", err)
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		args string
		want string
		code int
	}{
		{"--brokers=a:1 --state-dir=/x", "", exitOK},
		{"--brokers=a:1 --store=memory", "", exitOK},
		{"--brokers=a:1 --state-dir=/x --state-max=10GiB --record-max=1MiB --memory=200MiB", "", exitOK},
		{"--brokers=a:1 --store=memory --sasl-mechanism=plain --sasl-username=u --sasl-password=p", "", exitOK},
		{"--state-dir=/x", "--brokers is missing", exitUsage},
		{"--brokers=a:1", "--state-dir is missing", exitUsage},
		{"--brokers=a --state-dir=/x", `"a" has no port`, exitInvalid},
		{"--brokers=a:1 --state-dir=/x --store=memory", "leave one out", exitInvalid},
		{"--brokers=a:1 --state-dir=/x --tls-cert=c", "go together", exitInvalid},
		{"--brokers=a:1 --state-dir=/x --sasl-username=u", "sasl-mechanism is missing", exitInvalid},
		{"--brokers=a:1 --state-dir=/x --sasl-mechanism=plain --sasl-password=p", "sasl-username is missing", exitInvalid},
		{"--brokers=a:1 --state-dir=/x --sasl-mechanism=plain --sasl-username=u", "LIMPET_SASL_PASSWORD", exitInvalid},
	}
	for _, tt := range tests {
		r, _, err := resolved(t, strings.Fields(tt.args), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err = r.check(); exitCode(err) != tt.code || tt.want != "" && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %d, %v; want %d, %s", tt.args, exitCode(err), err, tt.code, tt.want)
		}
	}
}

func TestPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		args, env []string
		yaml      string
		want      string
		fails     bool
	}{
		{"flag", []string{"--sasl-password=p"}, nil, "", "p", false},
		{"environment", nil, []string{"LIMPET_SASL_PASSWORD=e"}, "", "e", false},
		{"configuration", nil, nil, "sasl-password: c\n", "c", false},
		{"file", nil, nil, "sasl-password-file: " + file, "from file", false},
		{"file by flag over the environment", []string{"--sasl-password-file=" + file}, []string{"LIMPET_SASL_PASSWORD=e"}, "", "from file", false},
		{"environment over a file of the configuration", nil, []string{"LIMPET_SASL_PASSWORD=e"}, "sasl-password-file: " + file, "e", false},
		{"both in one place", nil, []string{"LIMPET_SASL_PASSWORD=e", "LIMPET_SASL_PASSWORD_FILE=" + file}, "", "", true},
		{"no such file", []string{"--sasl-password-file=/does/not/exist"}, nil, "", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, s, err := resolved(t, tt.args, tt.env, tt.yaml)
			if err != nil {
				t.Fatal(err)
			}
			err = r.kafka.readPassword(s)
			if tt.fails {
				if exitCode(err) != exitInvalid {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || r.kafka.password.reveal() != tt.want {
				t.Errorf("got %q, %v; want %q", r.kafka.password.reveal(), err, tt.want)
			}
		})
	}
}

func TestFileErrorsDoNotQuoteTheFile(t *testing.T) {
	for _, file := range []string{
		"sasl-password: *hunter2\n", "sasl-password: @hunter2\n", "sasl-password: \"hunter2\n", "sasl-password: [hunter2]: x\n", "a: b\n  sasl-password: hunter2\n",
		"sasl-password: {hunter2: hunter2}\n", "sasl-password: [[hunter2]]\n", "sasl-password: !!int hunter2\nworkers: x\n", "sasl-password: hunter2\nsasl-password: hunter2\n",
	} {
		_, _, err := resolved(t, nil, nil, file)
		if err == nil || exitCode(err) != exitInvalid || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestTypos(t *testing.T) {
	_, s, _ := resolved(t, nil, nil, "")
	got := s.typos([]string{"LIMPET_BROKER=x", "LIMPET_BROKERS=x", "LIMPET_SERVICE_HOST=x", "LIMPET_KAFKA=1", "OTHER=1"})
	if want := []string{"LIMPET_BROKER is not read; LIMPET_BROKERS would be"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// Profiles are served to this machine alone.
func TestPprof(t *testing.T) {
	for addr, ok := range map[string]bool{
		"": true, "localhost:6060": true, "127.0.0.1:0": true, "[::1]:1": true,
		":6060": false, "0.0.0.0:6060": false, "10.0.0.1:6060": false, "example.com:80": false, "6060": false,
	} {
		if err := checkPprof(addr); (err == nil) != ok {
			t.Errorf("%q: %v", addr, err)
		}
	}
	var log bytes.Buffer
	stop, err := servePprof("localhost:0", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	url := regexp.MustCompile(`http://\S+/`).FindString(log.String())
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // it was read
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("goroutine")) {
		t.Errorf("%s: %s, %v", url, resp.Status, err)
	}
	for _, c := range []struct {
		body io.Reader
		code int
	}{
		{strings.NewReader("0x1"), http.StatusOK},
		{strings.NewReader(strings.Repeat("1", requestMax+1)), http.StatusRequestEntityTooLarge},
	} {
		resp, err := http.Post(url+"symbol", "text/plain", c.body)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // its status is all
		if resp.StatusCode != c.code {
			t.Errorf("%s, want %d", resp.Status, c.code)
		}
	}
	// One that does not say how long it is, is not read to the end.
	read := int64(0)
	bounded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		read, err = io.Copy(io.Discard, r.Body)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader(strings.Repeat("1", 10*requestMax)))))
	if read != requestMax || err == nil {
		t.Errorf("%d bytes were read, %v", read, err)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]size{
		"512MiB": 512 << 20, "2GiB": 2 << 30, "1.5GiB": 3 << 29, "1 KiB": 1 << 10, "1TiB": 1 << 40, "64mib": 64 << 20,
		"1GB": 1e9, "3MB": 3e6, "2KB": 2000, "100B": 100, "100": 100, "0": 0,
	} {
		var s size
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%q is %d, %v; want %d", text, s, err, want)
		}
		var again size
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q prints as %q, which is %d, %v", text, s.String(), again, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "-1MiB", "1.5", "much", "NaN", "Inf", "1e30", "9000000TiB", "1GiBs"} {
		s := size(7)
		if err := s.Set(text); err == nil || s != 7 {
			t.Errorf("%q was taken, for %d", text, s)
		}
	}
}

// The command sets the limit of Go's heap by --memory, and how often it is collected, and leaves
// alone what is set.
func TestHeapLimit(t *testing.T) {
	if v := os.Getenv("GOMEMLIMIT") + os.Getenv("GOGC"); v != "" {
		t.Skip("GOMEMLIMIT or GOGC is " + v)
	}
	percent := func() int {
		n := debug.SetGCPercent(100)
		debug.SetGCPercent(n)
		return n
	}
	before := percent()
	t.Setenv("GOGC", "70")
	limitHeap(1 << 40)()
	if got := percent(); got != before {
		t.Errorf("GOGC is set, and became %d", got)
	}
	t.Setenv("GOGC", "")
	undo := limitHeap(1 << 40)
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("the limit is %d", got)
	}
	limitHeap(1 << 41)()
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("a limit that was set became %d", got)
	}
	if got := percent(); got != shell.GoPercent {
		t.Errorf("the garbage may be %d %%", got)
	}
	undo()
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("the limit stays %d", got)
	}
	if got := percent(); got != before {
		t.Errorf("the garbage may still be %d %%", got)
	}
}

// Whatever the file holds: settings, or an error that names the file.
func FuzzFile(f *testing.F) {
	// The decoder makes a token, an event and a node of what may be one byte: 500 to 800 bytes for each [.
	most := func(n int) uint64 { return 4 * allocated.For(n) }
	for _, s := range []string{
		strings.Repeat("[", 2645), strings.Repeat("{", 4000), strings.Repeat("? ", 2000), strings.Repeat("{0,", 1000),
		"", "workers: 2\nbrokers: [a:1, b:2]\n", "memory: 1GiB\ncommit-interval: 1s\n", "tls: yes\n# x\n", "a: &a [*a]\n", "- a\n", "workers: {a: 1}\n", "\x00", "a: b: c",
		"---\nworkers: 1\n---\nworkers: 2\n", "? [a]\n: b\n", "<<: {workers: 2}\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var values map[string]fileValue
		var err error
		allocated.Within(t, "mapping", most(len(b)), func() { _, err = mapping(b) })
		n := len(b)
		if err != nil { // its line is sought
			n += searchMost
		}
		allocated.Within(t, "parseFile", most(n), func() { values, err = parseFile("x.yaml", b) })
		if err == nil {
			s := newSettings()
			r := &runSettings{}
			r.register(s)
			for _, k := range sortedKeys(values) {
				v := values[k]
				if v.line < 1 || v.line > 1+bytes.Count(b, []byte("\n"))+bytes.Count(b, []byte("\r"))+len(b) {
					t.Fatalf("%q is in line %d", k, v.line)
				}
				text, err := v.text()
				if f := s.Lookup(k); err == nil && f != nil && f.Name != "log-level" {
					_ = set(f, text) // it says what is wrong, or takes it
				}
			}
			return
		}
		if !errors.Is(err, errSettings) || !strings.Contains(err.Error(), "x.yaml") {
			t.Fatalf("%v", err)
		}
	})
}
