//go:build !unix

package kafkatest

import "syscall"

// Without Unix's signals Require skips; these only let the package compile.
const (
	canSignal = false

	sigTerm  = syscall.SIGTERM
	sigPause = syscall.SIGTERM
	sigCont  = syscall.SIGTERM
)

func ownGroup() *syscall.SysProcAttr { return nil }
