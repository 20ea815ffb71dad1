//go:build unix

package native

import (
	"io/fs"
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
