package images

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile locks the open file, without waiting.
func lockFile(f *os.File, shared bool) (taken bool, err error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if !shared {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
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

// identity is not known there: each name counts.
func identity(fs.FileInfo) (id fileID, several bool) { return fileID{}, false }

// allocated is what a file takes of its file system, in bytes.
func allocated(info fs.FileInfo) int64 { return info.Size() }
