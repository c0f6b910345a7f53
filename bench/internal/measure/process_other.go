//go:build unix && !linux

package measure

import "time"

// ProcessCPU is not known here.
func ProcessCPU(int) time.Duration { return 0 }

// ProcessPeakRSS is not known here.
func ProcessPeakRSS(int) int64 { return 0 }

// PeakRSS is not known here.
func PeakRSS() int64 { return 0 }

// threadCPU is that of the whole process, where a thread's is not to be had.
func threadCPU() time.Duration { return CPU() }
