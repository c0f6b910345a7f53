package measure

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Machine describes where a figure was measured: processor, cores, memory, Go, commit.
func Machine() string {
	return fmt.Sprintf("%s, %d cores, %s, %s %s/%s, commit %s",
		field("/proc/cpuinfo", "model name", "unknown processor"), runtime.NumCPU(),
		memory(), runtime.Version(), runtime.GOOS, runtime.GOARCH, commit())
}

func memory() string {
	var kb int64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal", ""), &kb); err != nil {
		return "unknown memory"
	}
	return fmt.Sprintf("%d GiB", (kb+1<<19)>>20)
}

func field(file, name, otherwise string) string {
	f, err := os.Open(file)
	if err != nil {
		return otherwise
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return otherwise
}

func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	c := strings.TrimSpace(string(out))
	if out, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(out) > 0 {
		c += "+changes"
	}
	return c
}

// kernelTable is 16 MiB, more than a core's share of the caches. It is kept, so that page faults and
// the collector are no part of what Kernel takes.
var kernelTable [1 << 21]uint64

// Kernel does a fixed piece of work, arithmetic and memory half and half, and returns the CPU time it
// took, of its own thread alone. A longer time than at a quiet moment is what neighbours cost. It is
// not safe for concurrent use.
func Kernel() time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadCPU()
	x := uint64(88172645463325252)
	for range 4 << 20 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		kernelTable[x&(1<<21-1)] += x
	}
	return threadCPU() - began
}
