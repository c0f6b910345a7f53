package conformance_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The conformance cases are inputs, expected outputs and final states of Kafka Streams, as
// data: see testdata/NOTICE. Further folders of cases in the same formats are
// named by LIMPET_CONFORMANCE:
//
//	LIMPET_CONFORMANCE=dir go test ./topology/... -run Conformance -v
//
// Each case is run in several ways. One that differs does so by a rule that is named in
// docs/semantics.md, and that applies to all cases alike: two models, which know nothing of a case but its
// inputs, work out what Kafka Streams makes of it and what Limpet does. The first must be what
// the case says, the second is what must come out.

// conformanceSpec is the topology of a case, and how what it writes is read.
type conformanceSpec struct {
	b      *topology.Builder
	outs   map[string]wireText                               // by topic
	states map[string]func(*topologytest.Driver) []stateLine // by store
}

// wireText says what the bytes of a topic's keys and values are as text.
type wireText struct{ key, value func([]byte) string }

// conformanceOps make the topologies, by operator.
var conformanceOps = map[string]func(*conformanceCase) *conformanceSpec{}

// conformanceRule is a named difference. models works out, of the inputs of a case alone, what
// comes of it in Kafka Streams and what comes of it here; nil, where the rule has nothing to say
// of such a case.
type conformanceRule struct {
	name   string
	models func(*conformanceCase) (streams, limpet *conformanceCase)
}

// conformanceRules are the rules by operator. The first one that has something to say of a case is the
// only one for it.
var conformanceRules = map[string][]conformanceRule{}

// ruleOf is the rule for a case, with what its models make of it; the zero rule, where there is none.
func ruleOf(c *conformanceCase) (r conformanceRule, streams, limpet *conformanceCase) {
	for _, r := range conformanceRules[c.Op] {
		if streams, limpet = r.models(c); streams != nil {
			return r, streams, limpet
		}
	}
	return r, nil, nil
}

// expectOf is what must come of a case by its rule, or nil where the rule's model of Kafka Streams does not make
// just what the case says: then the case is not understood, and must come out as it is.
func expectOf(c *conformanceCase) (r conformanceRule, want *conformanceCase) {
	r, streams, limpet := ruleOf(c)
	if streams == nil || c.compare(streams.result()) != nil {
		return r, nil
	}
	return r, limpet
}

// judge compares what came of a case with what must, and says by which rule that is another
// thing than what the case says, if it is.
func judge(c *conformanceCase, got *conformanceResult) (rule string, err error) {
	if r, want := expectOf(c); want != nil {
		if c.compare(want.result()) != nil {
			rule = r.name
		}
		return rule, want.compare(got)
	}
	return "", c.compare(got)
}

// spec begins the spec of a topology that writes the topic "out", as text.
func newSpec(b *topology.Builder) *conformanceSpec {
	return &conformanceSpec{b: b, outs: map[string]wireText{"out": {plainText, plainText}}, states: map[string]func(*topologytest.Driver) []stateLine{}}
}

func plainText(b []byte) string { return string(b) }

// decodedText reads what a codec wrote.
func decodedText[T any](c core.Codec[T]) func([]byte) string {
	return func(b []byte) string {
		v, err := c.Decode(b)
		if err != nil {
			return "undecodable " + err.Error()
		}
		return fmt.Sprint(v)
	}
}

// state says that a store of the case is a table, whose rows are read as topics are.
func (s *conformanceSpec) state(store, table string, w wireText) {
	s.states[store] = func(d *topologytest.Driver) (lines []stateLine) {
		for _, r := range topologytest.RawRows(d, table) {
			lines = append(lines, stateLine{key: w.key(r.Key), value: w.value(r.Value), at: r.At})
		}
		return lines
	}
}

// folded says that a store of the case has the rows that the changes in a topic lead to.
func (s *conformanceSpec) folded(store, topic string) {
	s.states[store] = func(d *topologytest.Driver) (lines []stateLine) {
		rows := map[string]stateLine{}
		for _, r := range topologytest.Topic(d, nullStrings(topic)).Records() {
			if rows[r.Key] = (stateLine{key: r.Key, value: r.Value.Value, at: r.Time}); !r.Value.OK {
				delete(rows, r.Key)
			}
		}
		return slices.Collect(maps.Values(rows))
	}
}

// conformanceCount counts cases, plain ones are those that are not marked `quirk`.
type conformanceCount struct {
	n, passed, differ, failed  int
	plain, plainDiffer, quirks int
}

// run runs the cases of a folder.
func (n *conformanceCount) run(t *testing.T, dir string) {
	cases, err := readConformanceDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		n.n++
		if c.quirk() {
			n.quirks++
		} else {
			n.plain++
		}
		rule, err := runConformance(t, c)
		switch {
		case err != nil:
			n.failed++
			t.Errorf("%s: %v", c.ID, err)
			if f := flag.Lookup("test.failfast"); f != nil && f.Value.String() == "true" {
				t.FailNow() // one is enough
			}
		case rule != "":
			n.differ++
			if !c.quirk() {
				n.plainDiffer++
			}
			say("differs %s %s\n", c.ID, rule)
		default:
			n.passed++
		}
	}
}

// TestConformance runs all cases, and ends with the count. Those that are brought along may not
// fail; how many may differ is said of those in testdata only, which are the same each time.
func TestConformance(t *testing.T) {
	var n conformanceCount
	n.run(t, "testdata")
	if n.differ*100 > n.n*8 {
		t.Errorf("%d of %d cases differ: at most 8 of 100 may", n.differ, n.n)
	}
	if n.plainDiffer*100 > n.plain {
		t.Errorf("%d of %d cases without a quirk differ: at most 1 of 100 may", n.plainDiffer, n.plain)
	}
	if more := os.Getenv("LIMPET_CONFORMANCE"); more != "" {
		for _, dir := range filepath.SplitList(more) {
			n.run(t, fromRoot(dir))
		}
	}
	say("of %d cases without a quirk %d differ, of %d with one %d\n", n.plain, n.plainDiffer, n.quirks, n.differ-n.plainDiffer)
	say("%d cases, %d passed, %d differ by design, %d failed\n", n.n, n.passed, n.differ, n.failed)
}

// fromRoot is a folder that may be named from the module's root, where go test is called, as well
// as from here.
func fromRoot(dir string) string {
	if _, err := os.Stat(dir); err != nil && !filepath.IsAbs(dir) {
		return filepath.Join("..", "..", dir)
	}
	return dir
}

// say prints a line of its own, where the test is verbose.
func say(format string, args ...any) {
	if testing.Verbose() {
		_, _ = fmt.Fprintf(os.Stdout, format, args...)
	}
}

// runConformance runs a case in all ways, and says by which rules it differs, if it does.
func runConformance(t testing.TB, c *conformanceCase) (rule string, err error) {
	if c.Halves != nil {
		for _, h := range c.Halves {
			r, err := runConformance(t, h)
			if err != nil {
				return "", err
			}
			rule = max(rule, r)
		}
		return rule, nil
	}
	build := conformanceOps[c.Op]
	if build == nil {
		return "", fmt.Errorf("operator %q is unknown", c.Op)
	}
	tb := &caseTB{TB: t}
	defer tb.recovered(&err)
	s := build(c)
	got := playCase(tb, c, s, topologytest.Config{}, true)
	if rule, err = judge(c, got); err != nil {
		return "", err
	}
	all := got.joined()
	for _, w := range conformanceWays(tb) {
		if err := all.compare(playCase(tb, c, s, w.config, false)); err != nil {
			return "", fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return rule, nil
}

type conformanceWay struct {
	name   string
	config topologytest.Config
}

// conformanceWays are the ways to run a case, beside record by record. The driver comes to
// rest before a record of another topic.
func conformanceWays(tb testing.TB) []conformanceWay {
	return []conformanceWay{
		{"a batch for each run of one topic", topologytest.Config{Batch: 1000, CommitEvery: 1000}},
		{"random splits 1", topologytest.Config{Seed: 1}},
		{"random splits 2", topologytest.Config{Seed: 2}},
		{"random splits 3", topologytest.Config{Seed: 3}},
		{"a crash after every third record", topologytest.Config{CommitEvery: 2, CrashAfter: 3}},
		{"random crashes, memory store", topologytest.Config{Seed: 4, CrashAfter: 5, Open: openMemory(tb)}},
		{"Pebble store", topologytest.Config{Seed: 5, Open: openPebble(tb)}},
	}
}

// caseTB fails a case, not the test.
type caseTB struct {
	testing.TB
	failed   error
	cleanups []func()
}

type caseFailed struct{}

func (t *caseTB) Helper()          {}
func (t *caseTB) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }
func (t *caseTB) Failed() bool     { return t.failed != nil }

func (t *caseTB) Errorf(format string, args ...any) {
	t.failed = errors.Join(t.failed, fmt.Errorf(format, args...))
}

func (t *caseTB) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	panic(caseFailed{})
}

func (t *caseTB) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }

// recovered is deferred: what made the case fail is its error. Any panic does.
func (t *caseTB) recovered(err *error) {
	if p := recover(); p != nil && p != any(caseFailed{}) {
		t.Errorf("panic: %v", p)
	}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(caseFailed{}) {
				t.Errorf("panic at the end: %v", p)
			}
		}()
		for _, f := range slices.Backward(t.cleanups) {
			f()
		}
	}()
	if *err == nil && t.failed != nil {
		*err = t.failed
	}
}

// caseStore is a real store as a driver wants it. Each commit is flushed.
type caseStore struct {
	statestore.Store
	db statestore.DB
	cp statestore.Checkpoint
}

func (s *caseStore) Apply(rows []core.Write) error {
	if err := s.Store.Apply(rows, s.cp); err != nil {
		return err
	}
	return s.db.Flush()
}

func openMemory(tb testing.TB) func(string, core.TaskID, []topology.TableSpec) topologytest.Store {
	return openStores(tb, func(string) (statestore.DB, error) { return statestore.NewMemory(), nil })
}

func openPebble(tb testing.TB) func(string, core.TaskID, []topology.TableSpec) topologytest.Store {
	return openStores(tb, func(app string) (statestore.DB, error) {
		return statestore.OpenPebble(statestore.PebbleConfig{Dir: "db", App: app, FS: vfs.NewMem(), MemoryBytes: 64 << 10, CacheBytes: 64 << 10})
	})
}

// openStores opens the tasks' stores in one DB, and empties one that is opened again.
func openStores(tb testing.TB, open func(app string) (statestore.DB, error)) func(string, core.TaskID, []topology.TableSpec) topologytest.Store {
	dbs, stores := map[string]statestore.DB{}, map[core.TaskID]statestore.Store{}
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		for _, s := range stores {
			must(s.Close())
		}
		for _, db := range dbs {
			must(db.Close())
		}
	})
	return func(app string, id core.TaskID, tables []topology.TableSpec) topologytest.Store {
		var err error
		if dbs[app] == nil {
			dbs[app], err = open(app)
			must(err)
		}
		if s := stores[id]; s != nil {
			must(s.Reset())
			must(s.Close())
		}
		var specs []statestore.TableSpec
		for _, t := range tables {
			specs = append(specs, statestore.TableSpec{Name: t.Name, Schema: t.Schema, DueOf: t.DueOf})
		}
		stores[id], err = dbs[app].Open(id, specs)
		must(err)
		return &caseStore{stores[id], dbs[app], statestore.Checkpoint{Changelog: make([]core.Offset, len(tables))}}
	}
}

// playCase runs a case and returns what went out, by step or as one, and the rows at the end.
func playCase(tb testing.TB, c *conformanceCase, s *conformanceSpec, way topologytest.Config, each bool) *conformanceResult {
	d := way.New(tb, s.b)
	res := &conformanceResult{states: map[string][]stateLine{}}
	anyKey, anyValue := codec.Optional(codec.String), codec.Optional(codec.Bytes)
	read := func() {
		out := map[string][]conformanceRecord{}
		for name, w := range s.outs {
			for _, r := range topologytest.Topic(d, topology.NewTopic(name, anyKey, anyValue)).Records() {
				rec := conformanceRecord{Topic: name, At: r.Time}
				if r.Key.OK {
					rec.Key = some(w.key([]byte(r.Key.Value)))
				}
				if r.Value.OK {
					rec.Value = some(w.value(r.Value.Value))
				}
				out[name] = append(out[name], rec)
			}
		}
		res.steps = append(res.steps, out)
	}
	for _, step := range c.Steps {
		for _, r := range step.In {
			in := topologytest.Topic(d, topology.NewTopic(r.Topic, anyKey, anyValue))
			in.SendRawAt(r.At, rawText(r.Key), rawText(r.Value))
		}
		if each {
			read()
		}
	}
	if !each {
		read()
	}
	for store, rows := range s.states {
		res.states[store] = rows(d)
	}
	return res
}

func some[T any](v T) *T { return &v }

func rawText(s *string) []byte {
	if s == nil {
		return nil
	}
	return append([]byte{}, *s...)
}

// conformanceResult is what came of a case.
type conformanceResult struct {
	steps  []map[string][]conformanceRecord // what went out, by topic
	states map[string][]stateLine
}

func (r *conformanceResult) joined() *conformanceResult {
	all := map[string][]conformanceRecord{}
	for _, s := range r.steps {
		for topic, rs := range s {
			all[topic] = append(all[topic], rs...)
		}
	}
	return &conformanceResult{[]map[string][]conformanceRecord{all}, r.states}
}

// compare compares two results in full.
func (r *conformanceResult) compare(got *conformanceResult) error {
	for i := range r.steps {
		if err := sameOutputs(r.steps[i], got.steps[i]); err != nil {
			return err
		}
	}
	for store, rows := range r.states {
		if err := sameLines("store "+store, stateText(got.states[store], true), stateText(rows, true)); err != nil {
			return err
		}
	}
	return nil
}

func sameOutputs(want, got map[string][]conformanceRecord) error {
	topics := maps.Clone(want)
	maps.Copy(topics, got)
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		if err := sameLines("topic "+topic, recordText(got[topic]), recordText(want[topic])); err != nil {
			return err
		}
	}
	return nil
}

func sameLines(where string, got, want []string) error {
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("%s: got\n\t%s\nwant\n\t%s", where, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
}
