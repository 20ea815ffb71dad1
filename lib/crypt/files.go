package crypt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const (
	modeKey  fs.FileMode = 0o600
	modeCert fs.FileMode = 0o644
	modeDir  fs.FileMode = 0o750
)

// readIfPresent returns nil without an error if there is no such file.
func readIfPresent(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// writeFile replaces path whole or not at all: a reader, or the next start
// after a power loss, sees the old content or the new one.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	return publish(path, data, mode, os.Rename)
}

// writeNewFile is writeFile that fails with fs.ErrExist rather than replace a
// file. Two nodes that start in one folder cannot destroy each other's CA key.
func writeNewFile(path string, data []byte, mode fs.FileMode) error {
	return publish(path, data, mode, func(temp, path string) error {
		err := os.Link(temp, path) // unlike rename, atomic and never replacing
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		// File systems without hard links: a check is the best there is.
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fs.ErrExist, err)
		}
		return os.Rename(temp, path)
	})
}

func publish(path string, data []byte, mode fs.FileMode, move func(temp, path string) error) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, modeDir); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600 from the start
	if err != nil {
		return fmt.Errorf("create file in %s: %w", dir, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // what is left of it, if anything
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = move(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

// syncDir makes the name itself durable. Windows has no such call and needs
// none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}
