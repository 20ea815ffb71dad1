//go:build unix

package account

import (
	"errors"
	"os/exec"
	"syscall"
)

// separate gives a command its own session, and another user if uid is not 0.
func separate(cmd *exec.Cmd, uid, gid int) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // ids of the system's, never negative
	}
}

// killEach kills processes; those that are gone are killed.
func killEach(pids []int, uid int) error {
	var failed error
	for _, pid := range pids {
		if uid <= 0 || pid <= 1 {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
