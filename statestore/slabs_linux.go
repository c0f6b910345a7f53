package statestore

import "syscall"

// mapArea asks the system for memory of zeros, in large pages where it has them: rows lie anywhere, and
// small pages cost a second wait for most of them.
func mapArea(size int) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err == nil {
		_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) // small ones do as well
	}
	return b, err
}

func unmapArea(b []byte) error { return syscall.Munmap(b) }
