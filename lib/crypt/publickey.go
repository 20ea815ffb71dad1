package crypt

import (
	"fmt"
	"io/fs"
)

// NodePublicKey returns the public half (PKIX DER) of the node key in a file,
// and makes nothing: without the file the error is fs.ErrNotExist.
func NodePublicKey(path string) ([]byte, error) {
	key, err := loadKey(path)
	if err != nil {
		return nil, fmt.Errorf("load node key: %w", err)
	}
	if key == nil {
		return nil, fmt.Errorf("load node key %s: %w", path, fs.ErrNotExist)
	}
	return publicDER(key)
}
