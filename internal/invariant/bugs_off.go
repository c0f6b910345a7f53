//go:build !limpetbugs

package invariant

// Planting reports whether mistakes can be planted in this build.
const Planting = false

// Bug reports whether the mistake is planted: it never is.
func Bug(string) bool { return false }

// Plant does nothing in this build.
func Plant(string) {}
