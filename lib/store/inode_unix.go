//go:build unix

package store

import (
	"os"
	"syscall"
)

// inodeOf is the number of a file in its file system; 0 if there is none.
func inodeOf(info os.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}
