package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// SetAside gives the database in a folder, which no node may have open, another name there, so that the next start makes
// a new one. Called again with the same name after a crash it goes on: a database that is there beside the one set aside
// is a new one, and stays.
func SetAside(ctx context.Context, folder, name string) (err error) {
	unlock, err := lockFolder(folder)
	if err != nil {
		return fmt.Errorf("set database aside in %s: %w", folder, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	path, kept := filepath.Join(folder, fileName), filepath.Join(folder, name)
	if _, err := os.Lstat(kept); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil // nothing to keep
	}
	flushLog(ctx, path)
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		return fmt.Errorf("set database aside: its log %s-wal can not be moved into it: check it with 'aquarium-fish db check'", path)
	}
	// The log goes first: it is empty, and beside a new database it would be taken for that one's.
	if err := removeLog(path); err != nil {
		return err
	}
	if err := markAside(path); err != nil {
		return fmt.Errorf("set database aside: %w", err)
	}
	if err := durable.Rename(path, kept); err != nil {
		return fmt.Errorf("set database aside: %w", err)
	}
	return nil
}
