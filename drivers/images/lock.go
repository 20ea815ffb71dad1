package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// How often one process looks whether another is done: a file lock wakes nobody
// who may also be cancelled.
const (
	lockPoll = 200 * time.Millisecond // with an image
	turnPoll = 10 * time.Millisecond  // with a few file operations
)

// lock is a lock file that is held: by the kernel, so that it ends with the
// process however that dies.
type lock struct{ file *os.File }

// tryLock takes the lock, or returns nil where another holds it.
func tryLock(path string) (*lock, error) { return tryLockMode(path, false) }

// tryLockMode takes the lock for itself alone or, shared, together with others
// who share it.
func tryLockMode(path string, shared bool) (*lock, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open lock: %w", err)
		}
		taken, err := lockFile(file, shared)
		if err != nil || !taken {
			return nil, errors.Join(err, file.Close())
		}
		if same, err := stillThere(file, path); same {
			return &lock{file}, nil
		} else if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		// Its last holder removed the file between our open and our lock.
		_ = file.Close()
	}
}

func stillThere(file *os.File, path string) (bool, error) {
	mine, err := file.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, there), err
}

// waitLock takes the lock as soon as nobody else holds it.
func waitLock(ctx context.Context, path string, poll time.Duration) (*lock, error) {
	for {
		held, err := tryLock(path)
		if held != nil || err != nil {
			return held, err
		}
		if err := pause(ctx, poll); err != nil {
			return nil, err
		}
	}
}

// release gives the lock back and removes its file, which whoever opened it
// meanwhile notices.
func (l *lock) release() {
	_ = os.Remove(l.file.Name()) // on Windows it stays: an open file has its name
	_ = l.file.Close()
}

// close gives the lock back and leaves its file.
func (l *lock) close() { _ = l.file.Close() }

func (l *lock) closeIfAny() {
	if l != nil {
		l.close()
	}
}

// pause waits, or returns why ctx ended before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
