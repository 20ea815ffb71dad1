//go:build linux || darwin

package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The lock is a POSIX record lock: the system releases it with the keeper's
// last breath, a child never inherits it, and anybody may ask who holds it
// without taking it. Its price: the holder must never open the file a second
// time, because closing any descriptor of it releases the lock.

// errBusy says that another keeper of the folder lives.
var errBusy = errors.New("another keeper of the environment lives")

// takeLock makes this process the one keeper of the folder until it ends. What
// holds the lock is a bare descriptor: an os.File is closed as soon as the
// garbage collector finds it unused, which is before the exit is recorded.
func takeLock(folder string) error {
	path := filepath.Join(folder, lockFile)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lock)
	if err == nil {
		return nil
	}
	_ = unix.Close(fd) // nothing was written
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return errBusy
	}
	return fmt.Errorf("lock %s: %w", path, err)
}

// lockHolder returns the process id of the living keeper of the folder, and
// whether there is one.
func lockHolder(folder string) (pid int, held bool, err error) {
	file, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, false, fmt.Errorf("query lock %s: %w", file.Name(), err)
	}
	return int(lock.Pid), lock.Type != unix.F_UNLCK, nil
}
