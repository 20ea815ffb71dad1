//go:build unix

package space

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Of is the size of the file system that a folder is on, and what this user
// may still write there, in bytes. It waits as long as the file system does.
func Of(dir string) (total, free int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	size := int64(s.Bsize)                                     //nolint:unconvert // types differ between systems
	return int64(s.Blocks) * size, int64(s.Bavail) * size, nil //nolint:gosec // no file system is that large
}

// FileSystem names the file system that a folder is on.
func FileSystem(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return dir, nil
	}
	return fmt.Sprint("device ", s.Dev), nil
}
