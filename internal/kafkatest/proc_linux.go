package kafkatest

import "syscall"

// ownGroup keeps the terminal's ^C away from the brokers, and lets the kernel
// kill them with the thread that started them: launch keeps that thread for as
// long as the broker runs, so it ends with the test process only.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
