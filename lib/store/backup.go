package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// modeFile and modeFolder are those of the database, its copies and their
// folder: they hold password hashes, keys and other people's metadata. The
// -wal and -shm get the mode of the database from SQLite.
const (
	modeFile   os.FileMode = 0o600
	modeFolder os.FileMode = 0o700
)

// BackupOptions say what to copy where.
type BackupOptions struct {
	// Folder is the database's. A node may have it open.
	Folder string
	// File is the copy, which must not exist.
	File string
	// Now is the time of day that the copy tells as its own.
	Now time.Time
}

// Backup writes a whole copy of the database, of one moment, also while a node
// goes on writing. Under its name it is checked, durable, and for its owner
// alone; a failure leaves nothing of it. The copy says of itself that it is
// one, see Restored.
func Backup(ctx context.Context, o BackupOptions) (Stats, error) {
	source := filepath.Join(o.Folder, fileName)
	if _, err := os.Lstat(o.File); !errors.Is(err, os.ErrNotExist) {
		return Stats{}, errors.Join(fmt.Errorf("the file %s is there already: give another name, or move it away", o.File), err)
	}
	half, err := emptyBeside(o.File)
	if err != nil {
		return Stats{}, err
	}
	defer func() { _ = os.Remove(half) }() // what is left of it, if anything
	if err := copyInto(ctx, source, half); err != nil {
		return Stats{}, err
	}
	stats, err := sealCopy(ctx, half, o.Now)
	if err != nil {
		return Stats{}, fmt.Errorf("check the copy: %w", err)
	}
	if err := durable.Publish(half, o.File); err != nil {
		return Stats{}, fmt.Errorf("name the copy: %w", err)
	}
	return stats, nil
}

const (
	halfPrefix = ".copying-"
	// abandoned is how long nobody has written to a half copy whose process is
	// dead: VACUUM INTO writes all the time, and the check takes minutes.
	abandoned = time.Hour
)

// emptyBeside makes an empty file for its owner alone in the folder of another
// one, so that it can be renamed to it. What killed processes left there goes.
func emptyBeside(path string) (string, error) {
	folder := filepath.Dir(path)
	entries, _ := os.ReadDir(folder) // what can not be read is told next
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), halfPrefix) && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(folder, e.Name())) // else it is only in the way of others
		}
	}
	f, err := os.CreateTemp(folder, halfPrefix+"*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("create file beside %s: %w", path, err)
	}
	return f.Name(), f.Close()
}

// copyInto writes the present state of a database into an empty file. It is
// one statement under one snapshot: SQLite's backup interface would begin
// again after each write of another process, and never end under load.
func copyInto(ctx context.Context, source, to string) (err error) {
	if _, err := os.Stat(source); err != nil {
		return fmt.Errorf("find the database: %w", err)
	}
	db, err := openCopySource(ctx, source)
	if err != nil {
		return explain(source, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tables, err := tablesOf(ctx, db)
	if err != nil {
		return explain(source, err)
	}
	if shapeOf(tables) != shapeOurs {
		return fmt.Errorf("the file %s is no database of this version of Aquarium Fish", source)
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		if code(err) == codeFull {
			return fmt.Errorf("copy %s to %s: no space left there: %w", source, filepath.Dir(to), err)
		}
		return fmt.Errorf("copy %s to %s: %w", source, filepath.Dir(to), err)
	}
	return nil
}

// openCopySource opens for reading. SQLite recovers a log that a crash left, and
// falls back to reading alone where the file can not be written.
func openCopySource(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open(driverName, uri(path)+"?mode=rw"+commonPragmas())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func tablesOf(ctx context.Context, db querier) ([]string, error) {
	return column[string](ctx, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' ESCAPE '@'")
}

// sealCopy checks a finished copy, notes in it that it is one, and makes it
// durable.
func sealCopy(ctx context.Context, path string, now time.Time) (_ Stats, err error) {
	db, err := sql.Open(driverName, uri(path)+"?mode=rw&_pragma=fullfsync(1)"+commonPragmas())
	if err != nil {
		return Stats{}, err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if damage, err := integrity(ctx, db); err != nil || len(damage) > 0 {
		return Stats{}, errors.Join(fmt.Errorf("the database is damaged: %v; `db check` tells more", damage), err)
	}
	if err := markCopy(ctx, db, now); err != nil {
		return Stats{}, err
	}
	stats, err := statsOf(ctx, db)
	if err != nil {
		return Stats{}, err
	}
	return stats, syncFile(path)
}
