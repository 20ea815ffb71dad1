package volume

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// MountsBelow lists what is mounted at or below a folder, the innermost first.
func MountsBelow(folder string) ([]string, error) {
	n, err := unix.Getfsstat(nil, unix.MNT_NOWAIT)
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	list := make([]unix.Statfs_t, n+8) // some may appear in between
	if n, err = unix.Getfsstat(list, unix.MNT_NOWAIT); err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(folder); err == nil {
		folder = resolved
	}
	var found []string
	for _, s := range list[:n] {
		path := unix.ByteSliceToString(s.Mntonname[:])
		if path == folder || strings.HasPrefix(path, folder+"/") {
			found = append(found, path)
		}
	}
	slices.Reverse(found)
	return found, nil
}
