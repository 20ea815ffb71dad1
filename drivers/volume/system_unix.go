//go:build unix

package volume

import (
	"errors"
	"fmt"
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
