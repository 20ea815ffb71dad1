package limits

import (
	"errors"
	"syscall"
)

// memoryRlimit is the limit of a process's own data: private writable memory,
// since Linux 4.7 also what is mapped. The limit of address space would be too
// much: Go, Java and browsers reserve far more of it than they use.
const memoryRlimit = syscall.RLIMIT_DATA

// killProcess kills one process; one that is gone is killed.
func killProcess(pid int) error {
	err := syscall.Kill(pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

func isBusy(err error) bool { return errors.Is(err, syscall.EBUSY) }

// isNoDevice tells whether a file was open while its group was removed.
func isNoDevice(err error) bool { return errors.Is(err, syscall.ENODEV) }
