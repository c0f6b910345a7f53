//go:build !unix

package demo

import "os/exec"

// detach does nothing here.
func detach(*exec.Cmd) {}
