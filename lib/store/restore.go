package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// RestoreOptions say which copy to put in place of which database.
type RestoreOptions struct {
	// Folder is the database's; it is made if absent. No node may have it open.
	Folder string
	// File is the copy: one that Backup wrote, or any whole database of ours.
	File string
	// NodeName and NodeKeyDER are whose database it has to be.
	NodeName   string
	NodeKeyDER []byte
	// Now names the copy of what was there before.
	Now time.Time
}

// Restore replaces the database by a copy, after the copy is checked. What was
// there stays beside it, and kept is its path, "" if there was nothing. A crash
// leaves the old database or the new one. The new one says of itself that it
// was restored, see Restored.
func Restore(ctx context.Context, o RestoreOptions) (kept string, stats Stats, err error) {
	if err := makeFolder(o.Folder); err != nil {
		return "", Stats{}, fmt.Errorf("create database folder: %w", err)
	}
	unlock, err := lockFolder(o.Folder)
	if err != nil {
		return "", Stats{}, fmt.Errorf("restore into %s: %w", o.Folder, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	path := filepath.Join(o.Folder, fileName)
	half, err := halfRestored(o.Folder)
	if err != nil {
		return "", Stats{}, err
	}
	defer func() { _ = os.Remove(half) }() // what is left of it, if anything
	if err := copyInto(ctx, o.File, half); err != nil {
		return "", Stats{}, err
	}
	if err := o.checkOwner(ctx, half); err != nil {
		return "", Stats{}, err
	}
	if stats, err = sealCopy(ctx, half, o.Now); err != nil {
		return "", Stats{}, fmt.Errorf("check %s: %w", o.File, err)
	}
	if kept, err = keepPresent(ctx, path, o.Now); err != nil {
		return "", Stats{}, err
	}
	if err := durable.Rename(half, path); err != nil {
		return "", Stats{}, fmt.Errorf("put the copy in place: %w", err)
	}
	return kept, stats, nil
}

// makeFolder makes the folder where it is absent, for whom its parent is.
func makeFolder(folder string) error {
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(os.MkdirAll(folder, modeFolder), inherit(folder))
}

// halfRestored makes the empty file that a copy grows in, and belongs to whom
// the folder does: an operator may be root, and the node is not.
func halfRestored(folder string) (half string, err error) {
	if err := removeHalf(folder); err != nil {
		return "", err
	}
	half = filepath.Join(folder, halfName)
	if err := os.WriteFile(half, nil, modeFile); err != nil { // SQLite fills an empty file, and keeps its mode
		return "", fmt.Errorf("make the copy: %w", err)
	}
	return half, inherit(half)
}

// halfName is the copy that is not yet the database.
const halfName = fileName + ".restoring"

// removeHalf removes what a killed Restore left, whose journal SQLite would
// play back into the next half. The folder is locked.
func removeHalf(folder string) error { return removeCopy(filepath.Join(folder, halfName)) }

// removeCopy removes an unfinished copy with its journal.
func removeCopy(path string) error {
	for _, end := range []string{"-journal", ""} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove half a copy: %w", err)
		}
	}
	return nil
}

// checkOwner refuses what this program does not know and what is another
// node's: its key would be refused at the next start.
func (o RestoreOptions) checkOwner(ctx context.Context, path string) (err error) {
	db, err := sql.Open(driverName, uri(path)+"?mode=ro"+commonPragmas())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := refuseNewer(ctx, db); err != nil {
		return err
	}
	key, err := nodeKey(ctx, path, o.NodeName)
	if err != nil {
		return fmt.Errorf("read whose database it is: %w", err)
	}
	switch {
	case len(key) == 0:
		return fmt.Errorf("the file %s knows no node %q: it is another node's, or node_name was another one then", o.File, o.NodeName)
	case !bytes.Equal(key, o.NodeKeyDER):
		return fmt.Errorf("the file %s was of a node %q with another key: put the key of that time back too, it is one of the files beside the database folder",
			o.File, o.NodeName)
	}
	return nil
}

// keepPresent gives what is there a second name, with its log: the log is moved
// into the database if that can still be read, and kept beside it if not.
func keepPresent(ctx context.Context, path string, now time.Time) (kept string, err error) {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return "", removeLog(path) // of a database that is gone: it would be replayed into the new one
	}
	flushLog(ctx, path)
	kept = path + ".before-restore-" + now.UTC().Format("20060102T150405.000Z")
	for _, end := range []string{"-wal", ""} { // the log first: with the name it is whole
		if err := keepFile(path+end, kept+end); err != nil {
			return "", fmt.Errorf("keep the present database: %w", err)
		}
	}
	if err := durable.SyncFolder(filepath.Dir(path)); err != nil {
		return "", err
	}
	return kept, removeLog(path)
}

// flushLog empties the log of a database that nobody has open. One that is
// damaged keeps it.
func flushLog(ctx context.Context, path string) {
	db, err := sql.Open(driverName, uri(path)+"?mode=rw"+commonPragmas())
	if err != nil {
		return
	}
	_, _ = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)") // else the log is kept as it is
	_ = db.Close()
}

// keepFile gives a file a second name; where the file system knows none, it
// copies.
func keepFile(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, os.ErrNotExist) && filepath.Ext(from) != ".db" {
		return nil
	}
	if errors.Is(err, os.ErrExist) || errors.Is(err, os.ErrNotExist) {
		return err
	}
	return copyFile(from, to)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, modeFile)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close(), inherit(to))
}

// removeLog takes away a log that belongs to what was kept. Beside another
// database SQLite would replay it into that one.
func removeLog(path string) error {
	for _, end := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the log of the old database: %w", err)
		}
	}
	return durable.SyncFolder(filepath.Dir(path))
}
