//go:build unix

package vmrun

import (
	"errors"
	"os/exec"
	"syscall"
)

// ownGroup makes the command's end the end of its children too.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return kill(-cmd.Process.Pid) }
}

func kill(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
