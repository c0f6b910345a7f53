package measure

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, which is 100 on all of Linux's ports.
const tick = 10 * time.Millisecond

// ProcessCPU is the user and system time of another process, to 10 ms; 0 if not known.
func ProcessCPU(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, err1 := strconv.Atoi(string(fields[11]))
	system, err2 := strconv.Atoi(string(fields[12]))
	if err1 != nil || err2 != nil {
		return 0
	}
	return time.Duration(user+system) * tick
}

// ProcessPeakRSS is the most memory that another process has had, in bytes; 0 if not known.
func ProcessPeakRSS(pid int) int64 {
	var kb int64
	if _, err := fmt.Sscan(field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM", ""), &kb); err != nil {
		return 0
	}
	return kb << 10
}

// PeakRSS is the most memory that this process has had, in bytes. (The maximum of
// getrusage is no answer: a child begins with its parent's.)
func PeakRSS() int64 { return ProcessPeakRSS(os.Getpid()) }

// threadCPU is the user and system time that the calling thread has used.
func threadCPU() time.Duration { return usage(syscall.RUSAGE_THREAD) }
