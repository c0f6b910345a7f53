package upgrade

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var makeFixture = flag.String("fixture", "", "write the state that operators have now to testdata, with this name")

// fixture is what a version has left: a store directory, and what was in the changelogs and in the
// topics between sub-topologies.
type fixture struct {
	db   string
	logs []logged
	// between are the records of the repartition topics.
	between []logged
}

// logged is a record of the changelog of a table, or of a topic.
type logged struct {
	log        string
	key, value string // in hexadecimal digits; value "-": null
	at         core.Time
}

func newLogged(log string, r *core.RawRecord) logged {
	l := logged{log, hex.EncodeToString(r.Key), "-", r.Time}
	if r.Value != nil {
		l.value = "=" + hex.EncodeToString(r.Value)
	}
	return l
}

func (l logged) String() string { return fmt.Sprintf("%s %s %d %s", l.log, "="+l.key, l.at, l.value) }

// record is the opposite of newLogged.
func (l logged) record(t testing.TB) *core.RawRecord {
	t.Helper()
	r := &core.RawRecord{Time: l.at}
	var err error
	r.Key, err = hex.DecodeString(l.key)
	must(t, err)
	if digits, ok := strings.CutPrefix(l.value, "="); ok {
		r.Value = []byte{}
		r.Value, err = hex.AppendDecode(r.Value, []byte(digits))
		must(t, err)
	}
	return r
}

func parse(t testing.TB, text []byte) (ls []logged) {
	t.Helper()
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		var l logged
		_, err := fmt.Sscan(s.Text(), &l.log, &l.key, &l.at, &l.value)
		must(t, err)
		l.key = strings.TrimPrefix(l.key, "=")
		ls = append(ls, l)
	}
	return ls
}

func text(ls []logged) []byte {
	var b bytes.Buffer
	for _, l := range ls {
		fmt.Fprintln(&b, l)
	}
	return b.Bytes()
}

// fixtures are the names of those that there are, newest the last of them.
func fixtures(t testing.TB) (names []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.tar.gz")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("there are no fixtures")
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".tar.gz"))
	}
	slices.Sort(names)
	return names
}

func newest(t testing.TB) string {
	t.Helper()
	names := fixtures(t)
	return names[len(names)-1]
}

// read unpacks a fixture.
func read(t testing.TB, name string) *fixture {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".tar.gz"))
	must(t, err)
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	must(t, err)
	fix := &fixture{db: t.TempDir()}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return fix
		}
		must(t, err)
		b, err := io.ReadAll(r)
		must(t, err)
		switch h.Name {
		case "changelogs.txt":
			fix.logs = parse(t, b)
		case "between.txt":
			fix.between = parse(t, b)
		default:
			must(t, os.WriteFile(filepath.Join(fix.db, filepath.Base(h.Name)), b, 0o600))
		}
	}
}

// write packs a fixture.
func (fix *fixture) write(t testing.TB, name string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	add := func(name string, b []byte) {
		must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b))}))
		_, err := w.Write(b)
		must(t, err)
	}
	add("changelogs.txt", text(fix.logs))
	add("between.txt", text(fix.between))
	files, err := os.ReadDir(fix.db)
	must(t, err)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(fix.db, f.Name()))
		must(t, err)
		add("db/"+f.Name(), b)
	}
	must(t, w.Close())
	must(t, z.Close())
	must(t, os.WriteFile(filepath.Join("testdata", name+".tar.gz"), b.Bytes(), 0o600))
}

// directory is the state of a fixture's store.
func directory(t *testing.T, fix *fixture) *stateOf {
	s := newState(t, pebble(t, fix.db))
	s.found = true
	return s
}

// restored is the state that a fixture's changelogs lead to.
func restored(t *testing.T, fix *fixture) *stateOf {
	s := newState(t, pebble(t, t.TempDir()))
	s.found, s.restore = true, fix.logs
	return s
}

func pebble(t testing.TB, dir string) statestore.DB {
	t.Helper()
	db, err := statestore.OpenPebble(statestore.PebbleConfig{Dir: dir, App: "everything", Topology: "everything"})
	must(t, err)
	return db
}

// present is what today's operators leave where the fixtures were stopped.
func present(t *testing.T) *fixture {
	fix := &fixture{db: t.TempDir()}
	state := newState(t, pebble(t, fix.db))
	d := topologytest.Config{Open: state.open}.New(t, everything())
	send(d, 0, stopAt)
	for _, id := range slices.SortedFunc(maps.Keys(state.stores), func(a, b core.TaskID) int { return int(a.Sub - b.Sub) }) {
		fix.logs = append(fix.logs, state.stores[id].log...)
	}
	plan, err := everything().Build()
	must(t, err)
	for _, sub := range plan.Subtopologies() {
		for _, s := range sub.Sources {
			if s.Repartition {
				name := s.TopicName(plan.Name())
				for _, r := range topologytest.Topic(d, topology.NewTopic(name, codec.String, codec.Optional(codec.String))).Records() {
					raw := core.RawRecord{Key: []byte(r.Key), Time: r.Time}
					if r.Value.OK {
						raw.Value = []byte(r.Value.Value)
					}
					fix.between = append(fix.between, newLogged(name, &raw))
				}
			}
		}
	}
	state.close()
	return fix
}

// What operators write is what the newest fixture has, byte for byte, and none of them lacks in it.
func TestFixture(t *testing.T) {
	now := present(t)
	if *makeFixture != "" {
		now.write(t, *makeFixture)
	}
	fix := read(t, newest(t))
	same(t, "changelog", now.logs, fix.logs)
	same(t, "topic", now.between, fix.between)

	plan, err := everything().Build()
	must(t, err)
	s := directory(t, fix)
	for _, sub := range plan.Subtopologies() {
		s.open("", core.TaskID{Sub: sub.ID}, sub.Tables)
	}
	for table, rows := range s.rows() {
		if len(rows) == 0 {
			t.Errorf("table %s has no rows in the fixture: nothing is proved of it", table)
		}
	}
}

// same compares what was written, log by log.
func same(t *testing.T, kind string, got, want []logged) {
	t.Helper()
	by := func(ls []logged) map[string][]logged {
		m := map[string][]logged{}
		for _, l := range ls {
			m[l.log] = append(m[l.log], l)
		}
		return m
	}
	g, w := by(got), by(want)
	for _, log := range slices.Sorted(maps.Keys(w)) {
		if !slices.Equal(g[log], w[log]) {
			t.Errorf("the format of %s %s is another one than in %s: see doc.go\n%v\nwant\n%v", kind, log, newest(t), g[log], w[log])
		}
		delete(g, log)
	}
	for log := range g {
		t.Errorf("%s has nothing of %s %s: see doc.go", newest(t), kind, log)
	}
}
