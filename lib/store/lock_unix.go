//go:build !windows

package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFolder keeps other processes from opening the database while this one
// has it: the read model would not see their writes. The lock dies with the
// process. A file system without locks is used without.
func lockFolder(path string) (unlock func() error, err error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lock database folder: %w", err)
	}
	err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(ErrInUse, d.Close())
	}
	return d.Close, nil
}
