package shell

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstanceID(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "instance")
	id, err := instanceID(dir)
	if err != nil || len(id) != 10 {
		t.Fatal(id, err)
	}
	if again, err := instanceID(dir); again != id || err != nil {
		t.Fatalf("%q became %q, %v", id, again, err)
	}
	if other, err := instanceID(t.TempDir()); other == id || err != nil {
		t.Fatalf("%q twice, %v", other, err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) (string, error) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return instanceID(dir)
	}
	// As the first versions wrote it: it gets its checksum.
	if old, err := read([]byte(id + "\n")); old != id || err != nil {
		t.Fatal(old, err)
	}
	if b, err := os.ReadFile(file); string(b) != string(whole) || err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	if _, err := read([]byte("my own name\n")); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "delete the file") {
		t.Fatal(err)
	}
	// Each byte damaged in each way, and cut anywhere: none, or the same name.
	refused := 0
	damaged := func(b []byte) {
		t.Helper()
		switch got, _ := readInstance(string(b)); got {
		case "":
			refused++
		case id:
		default:
			t.Fatalf("%q is read as %q, was %q", b, got, id)
		}
	}
	for i := range whole {
		for x := 1; x < 256; x++ {
			b := append([]byte(nil), whole...)
			b[i] ^= byte(x)
			damaged(b)
		}
		damaged(whole[:i])
	}
	if refused < len(id)*255 {
		t.Errorf("%d refused", refused)
	}
}
