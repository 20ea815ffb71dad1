//go:build unix

package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ownership is a file's owner and how many names it has.
func ownership(info fs.FileInfo) (uid int, links uint64) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, 1
	}
	return int(s.Uid), uint64(s.Nlink) //nolint:unconvert // other systems count in other types
}

// allocated is what a file takes of its file system, in bytes.
func allocated(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512 //nolint:unconvert // other systems count in other types
	}
	return 0
}

// locked does something that no two processes may do at once. What it does
// takes no more than a few file operations.
func locked(path string, do func() error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("lock %s: %w", path, err)
	} else {
		err = do()
	}
	return errors.Join(err, f.Close())
}
