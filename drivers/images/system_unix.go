//go:build unix

package images

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockFile locks the open file, without waiting.
func lockFile(f *os.File, shared bool) (taken bool, err error) {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	for {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// diskFull says whether the error is about room on the disk.
func diskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// identity tells files from each other that have several names; what it says of
// others is of no use.
func identity(info fs.FileInfo) (id fileID, several bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.IsDir() {
		return fileID{}, false
	}
	return fileID{uint64(s.Dev), s.Ino}, s.Nlink > 1 //nolint:gosec,unconvert // types differ between systems
}

// allocated is what a file takes of its file system, in bytes.
func allocated(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512 //nolint:unconvert // other systems count in other types
	}
	return info.Size()
}
