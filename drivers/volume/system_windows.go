package volume

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// usage knows of no other file systems below a folder here, and takes the size
// of a file for what it takes.
func usage(info fs.FileInfo) (device uint64, bytes int64) { return 0, info.Size() }

// tryLock locks an open file, unless another process has it locked.
func tryLock(f *os.File) (taken bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// Full reports whether an error is about room on the disk. What removes must get
// by where nothing can be written: it may be what fills the disk.
func Full(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
