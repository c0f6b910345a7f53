//go:build linux || darwin || freebsd || netbsd || openbsd

package demo

import (
	"os"
	"syscall"
)

// canLock: a lock tells who lives.
const canLock = true

// lock takes a lock that the system gives back when the process ends, however it ends.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
