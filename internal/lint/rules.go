package lint

import (
	"slices"
	"strings"
)

// A room is a folder of the house: the package there and all below it. Paths
// beginning with ./ are the module's own, others are import paths; each stands
// for itself and for what lies below.
type room struct {
	path string
	// only: all that it may import beside the standard library. nil: anything
	// that no other rule forbids.
	only []string
	// never, where only is nil.
	never []string
	// pure: no effect may come from here; see pure.go.
	pure bool
}

// checks of our own invariants, for every room.
const invariants = "./internal/invariant"

// for the tests that a package offers to others.
var testLibraries = []string{"pgregory.net/rapid", "github.com/cockroachdb/datadriven"}

// The rooms, from the inside out; a room within a room comes after it, and the
// last one that fits a package is its room. Only rooms further out import a room.
var rooms = []room{
	{path: "./core", only: []string{"./core"}, pure: true},
	{path: "./topology", only: []string{"./core", "./topology", invariants}},
	{path: "./topology/topologytest", only: []string{"./core", "./topology", invariants, "./internal/lent"}},
	{path: "./statestore", only: []string{"./core", "./statestore", invariants, "github.com/cockroachdb/pebble/v2"}},
	{path: "./statestore/storetest", only: append([]string{"./core", "./statestore", invariants}, testLibraries...)},
	{path: "./shell", never: []string{"./cmd", "./examples", "./bench", "./internal/sim", "./internal/kafkatest", "./internal/lint"}},
	{path: "./examples", only: []string{"./topology", "./examples"}},
	{path: "./cmd", only: []string{"./shell", "./topology", "./examples", "./internal/demo", "./internal/sim", "./cmd"}},
	{path: "./bench", never: []string{"./cmd"}},
	{path: "./internal", never: []string{"./cmd"}},
	{path: "./internal/lent", only: []string{"./core"}, pure: true},
	{path: "./internal/plain", only: []string{"./topology"}}, // for the types of values: it shares no rule with the product
	{path: invariants, only: []string{}, pure: true},
}

// Packages that only one room may import.
var kept = []struct{ path, room, why string }{
	{"github.com/IBM/sarama", "./shell/kafka", "the protocol layer stays behind one door"},
	{"github.com/reugn/go-streams", "./shell", "stages are the shell's"},
}

// Goroutines of the shell begin in these files and folders only.
var goroutines = []string{"shell/run.go", "shell/kafka/", "shell/view/view.go", "shell/cli/signals.go", "shell/cli/pprof.go"}

// Lines of a file that was not generated.
const linesMax = 650

// pureNever are packages of the standard library that a pure room does without:
// the world's state, other goroutines, chance.
var pureNever = []string{
	"context", "crypto/rand", "hash/maphash", "log", "math/rand", "net", "os", "plugin", "sync", "syscall",
}

// within tells whether path is base or below it.
func within(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}

func withinAny(path string, bases []string) bool {
	return slices.ContainsFunc(bases, func(b string) bool { return within(path, b) })
}

// roomOf finds a package's room; path begins with ./ .
func roomOf(path string) (room, bool) {
	for _, r := range slices.Backward(rooms) {
		if within(path, r.path) {
			return r, true
		}
	}
	return room{}, false
}

// imports says why a package of room r, at path, may not import imp; both paths
// begin with ./ when they are the module's. Empty: it may.
func (r room) imports(path, imp string) string {
	for _, k := range kept {
		if within(imp, k.path) && !within(path, k.room) {
			return "only " + k.room[2:] + " imports " + k.path + ": " + k.why
		}
	}
	if standard(imp) {
		if r.pure && withinAny(imp, pureNever) {
			return r.path[2:] + " does without " + imp + ": it is deterministic and has no effects"
		}
		return ""
	}
	switch {
	case r.only != nil && !withinAny(imp, r.only):
		allowed := "the standard library"
		for _, o := range r.only {
			allowed += ", " + strings.TrimPrefix(o, "./")
		}
		return r.path[2:] + " imports only " + allowed
	case withinAny(imp, r.never):
		return r.path[2:] + " is further in than " + strings.TrimPrefix(imp, "./")
	}
	return ""
}

// standard tells whether imp is the standard library's: no dot in its first
// element, as in a host's name, and not cgo.
func standard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".") && imp != "C"
}
