package topologytest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed-81380e12/limpet/topology"
)

// Run runs a scenario outside of a test, for examples and tools: what would fail a test
// panics.
func Run(scenario func(*Driver), topologies ...*topology.Builder) {
	t := new(outside)
	defer t.end()
	scenario(New(t, topologies...))
}

// outside is a testing.TB where there is no test.
type outside struct {
	testing.TB // nil: what is not here is not called
	cleanups   []func()
}

func (t *outside) Helper()                   {}
func (t *outside) Failed() bool              { return false }
func (t *outside) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *outside) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (t *outside) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (t *outside) Fatal(a ...any)            { panic(fmt.Sprint(a...)) }

func (t *outside) end() {
	if p := recover(); p != nil { // the first failure counts, not what its cleanups say
		panic(p)
	}
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}
