//go:build unix && !linux

package measure

import "time"

const maxrssUnit = 1 // as macOS counts

// ProcessCPU is not known here.
func ProcessCPU(int) time.Duration { return 0 }

// ProcessPeakRSS is not known here.
func ProcessPeakRSS(int) int64 { return 0 }
