package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// writeDurably writes a file whole or not at all: it is there with its text
// after a power loss, or it is not there.
func writeDurably(path string, text []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return durable.Rename(f.Name(), path)
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// enterable reports an error unless other users may pass through every folder
// down to path.
func enterable(path string) error {
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("workspace_path %s: other users may not pass %s (mode %v); allow it with chmod o+x or set another workspace_path",
				path, dir, info.Mode().Perm())
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// makeFolder makes a folder with folderMode, whatever the umask says. One that
// is there already stays as its owner wants it.
func makeFolder(path string) error {
	if there, err := exists(path); err != nil || there {
		return err
	}
	return errors.Join(os.MkdirAll(path, folderMode), os.Chmod(path, folderMode))
}
