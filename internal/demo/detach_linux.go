package demo

import (
	"os/exec"
	"syscall"
)

// detach keeps the terminal's ^C from the child, and the child from outliving us.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
