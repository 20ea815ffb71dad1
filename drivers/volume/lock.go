package volume

import (
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// lockLimit is how long a lock is waited for that is held for a few file
	// operations; lockPoll is how often it is tried.
	lockLimit = 10 * time.Second
	lockPoll  = 5 * time.Millisecond
)

// locked does something that no two processes may do at once. What it does
// takes no more than a few file operations.
func locked(path string, do func() error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err = lock(f); err != nil {
		err = fmt.Errorf("lock %s: %w", path, err)
	} else {
		err = do()
	}
	return errors.Join(err, f.Close())
}

// lock waits for the lock of an open file, until its end. One that a stopped
// process holds must not hold up all others for ever.
func lock(f *os.File) error {
	for began := time.Now(); ; time.Sleep(lockPoll) {
		if taken, err := tryLock(f); taken || err != nil {
			return err
		}
		if time.Since(began) >= lockLimit {
			return errors.New("another process holds it for too long: look whether that is stopped or its disk hangs")
		}
	}
}
