//go:build unix && !linux

package volume

import "golang.org/x/sys/unix"

// openBeneath opens a folder in another one, unless it is a link.
func openBeneath(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}
