//go:build unix

package kafkatest

import "syscall"

const (
	canSignal = true

	sigTerm  = syscall.SIGTERM
	sigPause = syscall.SIGSTOP
	sigCont  = syscall.SIGCONT
)
