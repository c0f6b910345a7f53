//go:build limpetbugs

package core

// Planted reports whether a mistake is planted, to see that the simulator finds it.
var Planted = func(name string) bool { return false }

func planted(name string) bool { return Planted(name) }
