package volume

import (
	"context"
	"io/fs"
	"path/filepath"
)

// Used is what the files below a folder take of its file system, in bytes, at
// most most: what was promised. What is mounted below it is not looked into,
// as its files take room elsewhere, or in an image that is counted. What can
// not be read, is not there, or not yet found when ctx ends, is not counted,
// nor the part of a file that its names elsewhere have.
func Used(ctx context.Context, folder string, most int64) (bytes int64) {
	var device uint64
	_ = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what can not be read is passed over
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it was just removed
		}
		on, allocated := usage(info)
		if path == folder {
			device = on
		}
		if on != device {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		bytes += allocated
		if bytes >= most || ctx.Err() != nil {
			return fs.SkipAll
		}
		return nil
	})
	return min(bytes, most)
}
