package volume

import (
	"errors"

	"golang.org/x/sys/unix"
)

// openBeneath opens a folder in another one, unless it is a link or something
// is mounted there: also a part of the same file system, which its device does
// not tell.
func openBeneath(dir int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS,
	})
	switch {
	case errors.Is(err, unix.EXDEV):
		return -1, errMounted
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // an old kernel, or a filter that does not know it
		return unix.Openat(dir, name, flags, 0)
	}
	return fd, err
}
