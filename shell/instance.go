package shell

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// instanceID is this process's name in the group, stable over restarts: made once and
// kept beside the state. So two processes with default settings do not fence each
// other, and one that comes back aborts at once the transaction that it left open.
// With no folder it is made anew.
func instanceID(dir string) (string, error) {
	if dir == "" {
		return newInstanceID(), nil
	}
	file := filepath.Join(dir, "instance")
	switch b, err := os.ReadFile(file); {
	case err == nil:
		id := strings.TrimSpace(string(b))
		if err := checkAppID(id); err != nil {
			return "", fmt.Errorf("%w: %s holds no instance id: %w; delete the file to make a new one", ErrConfig, file, err)
		}
		return id, nil
	case !os.IsNotExist(err):
		return "", fmt.Errorf("%w: %w", ErrConfig, err)
	}
	id := newInstanceID()
	// Written whole or not at all: a process killed in between finds no half a name.
	tmp := file + ".new"
	if err := os.WriteFile(tmp, []byte(id+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return "", fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return id, nil
}

func newInstanceID() string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails, since Go 1.24
	return hex.EncodeToString(b[:])
}
