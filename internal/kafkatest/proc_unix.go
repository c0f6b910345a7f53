//go:build unix && !linux

package kafkatest

import "syscall"

// ownGroup keeps the terminal's ^C away from the brokers. Only Linux can tie
// their life to this process.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
