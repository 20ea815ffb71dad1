package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/aquarium-fish/aquarium-fish/lib/filelock"
)

// lockFolder keeps other processes from opening the database while this one
// has it: the read model would not see their writes. The lock dies with the
// process. Where a folder can not be locked the database is used without.
func lockFolder(path string) (unlock func() error, err error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lock database folder: %w", err)
	}
	if errors.Is(filelock.Lock(d), filelock.ErrLocked) {
		return nil, errors.Join(ErrInUse, d.Close())
	}
	return d.Close, nil
}
