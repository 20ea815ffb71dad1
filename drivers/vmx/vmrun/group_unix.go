//go:build unix

package vmrun

import (
	"errors"
	"os"
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

// scratch makes a file that has no name, so that none is left when the node is
// killed.
func scratch(dir, pattern string) (f *os.File, discard func(), err error) {
	f, err = os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, nil, err
	}
	discard = func() { _ = f.Close() } // it was read back
	if err := os.Remove(f.Name()); err != nil {
		discard()
		return nil, nil, err
	}
	return f, discard, nil
}
