//go:build unix

package volume

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// usage is which file system a file is on, and what it takes of it in bytes. A
// file with several names takes its part by each of them, so that all together
// make one: builds have millions of such files, too many to remember.
func usage(info fs.FileInfo) (device uint64, bytes int64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		bytes = int64(s.Blocks) * 512 //nolint:unconvert // other systems count in other types
		if !info.IsDir() {
			bytes /= max(1, int64(s.Nlink)) //nolint:gosec // few
		}
		return uint64(s.Dev), bytes //nolint:unconvert,gosec // types differ between systems
	}
	return 0, 0
}

// tryLock locks an open file, unless another process has it locked.
func tryLock(f *os.File) (taken bool, err error) {
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// Full reports whether an error is about room on the disk. What removes must get
// by where nothing can be written: it may be what fills the disk.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
