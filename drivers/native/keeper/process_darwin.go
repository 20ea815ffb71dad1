package keeper

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// zombie is SZOMB of sys/proc.h.
const zombie = 5

// bootID names this run of the machine.
func bootID() (string, error) { return unix.Sysctl("kern.bootsessionuuid") }

// processOf reads one process. Its error wraps fs.ErrNotExist if there is none.
func processOf(pid int) (process, error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(info.Proc.P_pid) != pid { // of a process that is not there the answer is empty
		return process{}, fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	}
	return fromInfo(info), nil
}

// fromInfo takes the start in microseconds since 1970.
func fromInfo(info *unix.KinfoProc) process {
	start := uint64(info.Proc.P_starttime.Sec)*1e6 + uint64(info.Proc.P_starttime.Usec)
	return process{PID: int(info.Proc.P_pid), Parent: int(info.Eproc.Ppid), Group: int(info.Eproc.Pgid), Start: start,
		Name: unix.ByteSliceToString(info.Proc.P_comm[:]), Dead: info.Proc.P_stat == zombie}
}

// processes lists all that this process may see.
func processes() ([]process, error) {
	infos, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, err
	}
	all := make([]process, len(infos))
	for i := range infos {
		all[i] = fromInfo(&infos[i])
	}
	return all, nil
}

// environOf reads arguments and environment of a process: texts, each ended by
// a zero byte.
func environOf(pid int) ([]byte, error) { return unix.SysctlRaw("kern.procargs2", pid) }

// executable is this program's file.
func executable() (string, error) { return os.Executable() }

// adoptOrphans does nothing: macOS has no subreaper. What leaves the tree is
// found by process group and by token.
func adoptOrphans() error { return nil }

// dieWithParent does nothing: macOS has no such signal.
func dieWithParent() error { return nil }

// pipe returns the ends of a pipe that children do not inherit.
func pipe() (read, write int, err error) {
	fds := make([]int, 2)
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(fds); err != nil {
		return 0, 0, err
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return fds[0], fds[1], nil
}
