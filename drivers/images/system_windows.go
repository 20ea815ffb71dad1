package images

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile locks the open file, without waiting.
func lockFile(f *os.File) (taken bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// diskFull says whether the error is about room on the disk.
func diskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL)
}
