// Package durable changes single files so that a crash or a power loss leaves the old state or the new one, and so that
// what has returned is on the disk.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// modeDir is for folders that are made on the way to a file.
const modeDir fs.FileMode = 0o700

// WriteFile replaces path whole or not at all, and makes its folder if that is absent: a reader, or the next start
// after a power loss, sees the old content or the new one.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, Rename)
}

// WriteNewFile is WriteFile that fails with fs.ErrExist rather than replace a file: two processes that start in one
// folder cannot destroy each other's.
func WriteNewFile(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, Publish)
}

// Rename gives a file another name in its folder for good, replacing what has that name.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(to))
}

// Publish gives a finished file its name in its folder for good. It fails with fs.ErrExist rather than replace a file.
// The old name may stay: the caller removes it.
func Publish(temp, path string) error {
	if err := link(temp, path); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

func link(temp, path string) error {
	err := os.Link(temp, path) // unlike rename, atomic and never replacing
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// File systems without hard links: a check is the best there is.
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	return os.Rename(temp, path)
}

// Remove removes a file for good. One that is not there is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove file: %w", err)
	}
	return SyncFolder(filepath.Dir(path))
}

func write(path string, data []byte, mode fs.FileMode, move func(temp, path string) error) (err error) {
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
	return nil
}

// SyncFolder makes the names in a folder durable. Windows has no such call and needs none.
func SyncFolder(dir string) error {
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
