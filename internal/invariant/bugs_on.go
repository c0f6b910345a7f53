//go:build limpetbugs

package invariant

// Planting reports whether mistakes can be planted in this build.
const Planting = true

var planted string

// Bug reports whether the mistake is planted.
func Bug(name string) bool { return planted == name }

// Plant plants a mistake in place of the one before; "" is none. It must be called while nothing else runs.
func Plant(name string) { planted = name }
