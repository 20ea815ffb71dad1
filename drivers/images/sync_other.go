//go:build !linux

package images

import (
	"io/fs"
	"path/filepath"
)

// syncTree makes all that was written below the folder durable, one by one.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() && !e.Type().IsRegular() {
			return err
		}
		return syncPath(path)
	})
}
