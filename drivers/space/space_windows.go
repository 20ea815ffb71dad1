package space

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// Of is the size of the file system that a folder is on, and what this user
// may still write there, in bytes. It waits as long as the file system does.
func Of(dir string) (total, free int64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	var available, all uint64
	if err := windows.GetDiskFreeSpaceEx(name, &available, &all, nil); err != nil {
		return 0, 0, err
	}
	return int64(min(all, 1<<62)), int64(min(available, 1<<62)), nil
}

// FileSystem names the file system that a folder is on.
func FileSystem(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	return filepath.VolumeName(path), err
}
