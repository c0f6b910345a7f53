package shell

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/crc32"
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
		id, whole := readInstance(string(b))
		if id == "" {
			return "", fmt.Errorf("%w: %s holds no instance id, but %.40q: delete the file to make a new one", ErrConfig, file, b)
		}
		if whole {
			return id, nil
		}
		return id, writeInstance(file, id)
	case !os.IsNotExist(err):
		return "", fmt.Errorf("%w: %w", ErrConfig, err)
	}
	id := newInstanceID()
	return id, writeInstance(file, id)
}

// readInstance returns the id in the file's text, or "" where it is damaged; and whether its
// checksum is there, which files of the first versions do not have.
func readInstance(text string) (id string, whole bool) {
	text = strings.TrimSuffix(text, "\n")
	id, sum, whole := strings.Cut(text, " ")
	if b, err := hex.DecodeString(id); err != nil || len(b) != instanceBytes || hex.EncodeToString(b) != id {
		return "", false
	}
	if whole && sum != instanceSum(id) {
		return "", false
	}
	return id, whole
}

// writeInstance writes it whole or not at all: a process killed in between finds no half a name.
func writeInstance(file, id string) error {
	tmp := file + ".new"
	if err := os.WriteFile(tmp, []byte(id+" "+instanceSum(id)+"\n"), 0o644); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// instanceSum tells a damaged name from the one that was made.
func instanceSum(id string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(id), crc32.MakeTable(crc32.Castagnoli)))
}

const instanceBytes = 5

func newInstanceID() string {
	var b [instanceBytes]byte
	_, _ = rand.Read(b[:]) // never fails, since Go 1.24
	return hex.EncodeToString(b[:])
}
