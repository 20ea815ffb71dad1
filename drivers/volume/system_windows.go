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

// locked does something that no two processes may do at once. What it does
// takes no more than a few file operations.
func locked(path string, do func() error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &windows.Overlapped{})
	if err == nil {
		err = do()
	}
	return errors.Join(err, f.Close())
}
