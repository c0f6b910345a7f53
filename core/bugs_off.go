//go:build !limpetbugs

package core

// planted reports whether a mistake is planted, to see that the simulator finds it: never.
func planted(string) bool { return false }
