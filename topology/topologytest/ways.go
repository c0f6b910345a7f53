package topologytest

import (
	"fmt"
	"testing"

	"github.com/seed-81380e12/limpet/topology"
)

// EveryWay runs a scenario as subtests, one for each way: see the package's documentation. Each
// must pass. What fails in several ways is told once, in the first of them; the others say
// which one that was. A scenario that checks something itself reports to Driver.T.
func EveryWay(t *testing.T, scenario func(*Driver), topologies ...*topology.Builder) {
	t.Helper()
	told := map[string]string{}
	for _, way := range ways {
		t.Run(way.name, func(sub *testing.T) {
			sub.Helper()
			one := &oneWay{TB: sub, way: way.name, told: told}
			if !t.Failed() {
				sub.Cleanup(func() {
					if t.Failed() && !sub.Failed() {
						sub.Error("in this way the scenario has failed the test that EveryWay was given: Driver.T is the way's own")
					}
				})
			}
			scenario(way.config.New(one, topologies...))
		})
	}
}

var ways = []struct {
	name   string
	config Config
}{
	{"one by one", Config{}},
	{"long batches", Config{Batch: 1000, CommitEvery: 1000}},
	{"random 1", Config{Seed: 1}},
	{"random 2", Config{Seed: 2}},
	{"random 3", Config{Seed: 3}},
	{"four partitions", Config{Partitions: 4}},
	{"crash after three", Config{CommitEvery: 2, CrashAfter: 3}},
	{"random crashes", Config{Seed: 4, CrashAfter: 5}},
}

// oneWay is the subtest of a way, which does not say again what an earlier one has said.
type oneWay struct {
	testing.TB
	way  string
	told map[string]string // the first way that said it
}

func (t *oneWay) tell(text string) {
	t.TB.Helper()
	if way, ok := t.told[text]; ok && way != t.way {
		t.TB.Logf("fails as %q does", way)
		return
	}
	t.told[text] = t.way
	t.TB.Log(text)
}

// Errorf implements testing.TB, as do the others.
func (t *oneWay) Errorf(f string, a ...any) { t.TB.Helper(); t.tell(fmt.Sprintf(f, a...)); t.TB.Fail() }

func (t *oneWay) Error(a ...any) { t.TB.Helper(); t.tell(fmt.Sprint(a...)); t.TB.Fail() }

func (t *oneWay) Fatalf(f string, a ...any) {
	t.TB.Helper()
	t.tell(fmt.Sprintf(f, a...))
	t.TB.FailNow()
}

func (t *oneWay) Fatal(a ...any) { t.TB.Helper(); t.tell(fmt.Sprint(a...)); t.TB.FailNow() }
