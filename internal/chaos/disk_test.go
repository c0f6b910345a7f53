package chaos

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// diskSize is enough for the state of all tasks, and little enough to be filled in no time.
const diskSize = "64m"

// mounter is a way to have file systems of one's own: a command that runs another one, which may mount some.
// They are in a namespace of that process, so they are gone when it has ended, however the test ends.
type mounter struct {
	name string
	args []string
}

var (
	asRoot    = mounter{"as root", []string{"unshare", "--mount"}}
	asAnybody = mounter{"in a user namespace", []string{"unshare", "--user", "--map-root-user", "--mount"}}
)

// disks gives n folders, each a small file system of its own, in the first way that is open here. They are
// reached through /proc by all processes of this user.
func disks(t *testing.T, n int) (dirs []string, err error) {
	t.Helper()
	for _, m := range []mounter{asRoot, asAnybody} {
		dirs, no := m.disks(t, n)
		if no == nil {
			return dirs, nil
		}
		err = errors.Join(err, fmt.Errorf("%s: %w", m.name, no))
	}
	return nil, err
}

func (m mounter) disks(t *testing.T, n int) ([]string, error) {
	t.Helper()
	script := ""
	var at []string
	for range n {
		at = append(at, t.TempDir())
		script += fmt.Sprintf("mount -t tmpfs -o size=%s,mode=0755 limpet-chaos '%s' && ", diskSize, at[len(at)-1])
	}
	// The process that holds them ends with its input, and so with the test.
	hold := exec.Command(m.args[0], append(m.args[1:], "sh", "-c", script+"echo mounted && exec cat")...)
	var said bytes.Buffer
	hold.Stderr = &said
	in, err := hold.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := hold.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := hold.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = hold.Wait() // of a way that is not open we know already
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "mounted\n" {
		_ = in.Close()
		_ = hold.Wait()
		return nil, fmt.Errorf("%s: %s", m.args[0], strings.TrimSpace(said.String()))
	}
	for i, dir := range at {
		at[i] = filepath.Join("/proc", fmt.Sprint(hold.Process.Pid), "root", dir)
		probe := filepath.Join(at[i], "probe")
		if err := os.WriteFile(probe, nil, 0o600); err != nil {
			return nil, err
		}
		if err := os.Remove(probe); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// fill makes a file as large as its disk allows.
func fill(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size > 0; {
		n, err := f.Write(make([]byte, size))
		if err != nil || n < size {
			size /= 2
		}
	}
	return nil
}

// Each way makes disks that are full by themselves, and have room again.
func TestDisks(t *testing.T) {
	for _, m := range []mounter{asRoot, asAnybody} {
		t.Run(m.name, func(t *testing.T) {
			dirs, err := m.disks(t, 2)
			if err != nil {
				t.Skip("not here: ", err)
			}
			full := filepath.Join(dirs[0], "full")
			if err := fill(full); err != nil {
				t.Fatal(err)
			}
			state, other := filepath.Join(dirs[0], "state"), filepath.Join(dirs[1], "state")
			if err := os.WriteFile(state, []byte("x"), 0o600); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("a full disk takes a byte: %v", err)
			}
			if err := os.WriteFile(other, []byte("x"), 0o600); err != nil {
				t.Errorf("another disk is full, too: %v", err)
			}
			if err := os.Remove(full); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(state, []byte("x"), 0o600); err != nil {
				t.Errorf("there is room again, and: %v", err)
			}
		})
	}
}
