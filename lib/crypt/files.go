package crypt

import (
	"errors"
	"io/fs"
	"os"
)

const (
	modeKey  fs.FileMode = 0o600
	modeCert fs.FileMode = 0o644
)

// readIfPresent returns nil without an error if there is no such file.
func readIfPresent(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
