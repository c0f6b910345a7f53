package demo

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

const tempPrefix = "limpet-demo-"

// tempDir makes a directory for this run, and removes those that runs before left when
// they were killed.
func tempDir(in string) (dir string, remove func(), err error) {
	sweep(in, time.Now().Add(-time.Minute))
	dir, err = os.MkdirTemp(in, tempPrefix)
	if err != nil {
		return "", nil, err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() {
		_ = os.RemoveAll(dir) // if not, the next run tries again
		unlock()
	}, nil
}

// sweep removes the directories of dead runs. One that was just made may not be locked
// yet, so young ones are left alone.
func sweep(in string, before time.Time) {
	if !canLock {
		return
	}
	dirs, _ := filepath.Glob(filepath.Join(in, tempPrefix+"*"))
	for _, d := range dirs {
		name := filepath.Join(d, "lock")
		info, err := os.Stat(name)
		if err != nil || info.ModTime().After(before) {
			continue
		}
		unlock, err := lock(name)
		if err != nil {
			continue // it lives
		}
		_ = os.RemoveAll(d)
		unlock()
	}
}
